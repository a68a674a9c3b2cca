// Archives from strangers, unpacked over a folder that holds links already. The first byte says whether the rest is the archive's bytes,
// or members that a right archive is made of; then what mode is asked for and how much may be unpacked.

#include "modules/action/archive.hpp"
#include "modules/action/archive_reader.hpp"
#include "tests/fuzz/sandbox.hpp"
#include "tests/fuzz/tar.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>

using namespace gorgone;
using namespace gorgone::fuzz;
namespace action = gorgone::action;

namespace {

void check_paths(const std::string& name, const std::string& target) {
  const auto path = action::safe_path(name);
  if (!path) return;
  for (const auto& part : *path) {
    require(!part.empty() && part != "." && part != ".." && part.find('/') == part.npos, "a safe path has safe parts", name);
  }
  if (path->empty() || !action::stays_inside(*path, target)) return;
  // Without links in it a path can be followed by its text alone.
  std::ptrdiff_t depth = static_cast<std::ptrdiff_t>(path->size()) - 1;
  for (const auto& part : std::filesystem::path(target)) {
    if (part == "..")
      --depth;
    else if (part != "." && !part.empty())
      ++depth;
    require(depth >= 0, "a link that stays inside does not climb out", name + " -> " + target);
  }
  require(!target.starts_with('/'), "a link that stays inside is not absolute", target);
}

bool is_refused(const Error& error) { return error.message.starts_with("archive refused"); }

/// All that is in the files below `folder`.
std::uintmax_t bytes_in(const std::filesystem::path& folder) {
  std::uintmax_t sum = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (std::filesystem::is_regular_file(entry.symlink_status())) sum += entry.file_size();
  }
  return sum;
}

void unpack(Sandbox& sandbox, const std::string& archive, const action::AttributeIds& ids, std::uint64_t bytes_max) {
  const auto file = (sandbox.root() / "archive").string();
  std::ofstream(file, std::ios::binary | std::ios::trunc) << archive;
  const auto before = sandbox.listing();
  const auto bytes_before = bytes_in(sandbox.destination());
  Notes notes;
  guard_names(sandbox.destination().string());
  const auto unpacked = action::unpack(file, sandbox.destination().string(), ids, notes, bytes_max);
  guard_names({});
  sandbox.check(archive);
  require(bytes_in(sandbox.destination()) <= bytes_before + bytes_max, "no more is unpacked than allowed");
  if (unpacked) return;
  require(!unpacked.error().message.empty(), "an archive that is not unpacked is said to be wrong");
  if (is_refused(unpacked.error())) require(sandbox.listing() == before, "of an archive that is refused nothing is written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Sandbox sandbox;
  Input input(data, size);
  const unsigned form = input.below(4);
  action::AttributeIds ids;
  ids.uid = ::geteuid();
  ids.gid = ::getegid();
  if (input.flag()) ids.mode = static_cast<mode_t>(input.byte() << 4 & 0777);
  const auto limit = input.byte();
  const std::uint64_t bytes_max = limit == 0 ? 16 << 20 : limit * 4096;
  if (form == 0) {
    unpack(sandbox, std::string(input.rest()), ids, bytes_max);
  } else if (form == 1) {
    const std::string name(input.text());
    check_paths(name, std::string(input.rest()));
    return 0;
  } else {
    unpack(sandbox, make_tar(input, sandbox.outside().string()), ids, bytes_max);
  }
  sandbox.reset();
  return 0;
}
