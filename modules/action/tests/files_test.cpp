// Files in their place, and what is left beside it. One that may be written in a folder that may not: there a copy cannot be renamed over
// what was there.
#include "files.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace gorgone;
using namespace gorgone::action;
namespace fs = std::filesystem;

namespace {

constexpr uid_t account = 65534;

// A file system of 1 MB, whose folder is root's and whose file is somebody else's, as whom the test goes on.
struct ClosedFolder {
  fs::path folder, there, source;
  bool is_mounted = false;

  ClosedFolder() {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    there = folder / "small" / "file";
    source = folder / "source";
    fs::permissions(folder, fs::perms(0755));
    fs::create_directory(there.parent_path());
    is_mounted = ::geteuid() == 0 && ::mount("tmpfs", there.parent_path().c_str(), "tmpfs", 0, "size=1m,mode=0755") == 0;
    if (!is_mounted) return;
    write(there, "old content");
    REQUIRE(::chown(there.c_str(), account, account) == 0);
  }
  ~ClosedFolder() {
    if (is_mounted) ::umount2((folder / "small").c_str(), MNT_DETACH);
    fs::remove_all(folder);
  }
  static void write(const fs::path& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }
  static std::string read(const fs::path& path) {
    std::ostringstream content;
    content << std::ifstream(path, std::ios::binary).rdbuf();
    return content.str();
  }

  struct Outcome {
    Result<void> installed;
    Notes notes;
  };
  Outcome install(const std::string& content) {
    write(source, content);
    Outcome outcome;
    REQUIRE(::seteuid(account) == 0);
    outcome.installed = install_file(source, there, {}, outcome.notes);
    REQUIRE(::seteuid(0) == 0);
    return outcome;
  }
};

}  // namespace

TEST_CASE("a file in a folder that may not be written is written over, which is told, and stays whole where the disk has no room") {
  ClosedFolder closed;
  if (!closed.is_mounted) {
    WARN("not checked: this needs root and a tmpfs");
    return;
  }
  const auto refused = closed.install(std::string(std::size_t{3} << 20, 'x'));
  REQUIRE_FALSE(refused.installed.has_value());
  CHECK(refused.installed.error().message.find("cannot get room for '" + closed.there.string()) == 0);
  const bool is_as_it_was = ClosedFolder::read(closed.there) == "old content";  // what came instead is long
  CHECK(is_as_it_was);

  for (const auto* content : {"new content that is longer", "short", ""}) {
    const auto done = closed.install(content);
    REQUIRE(done.installed.has_value());
    CHECK(ClosedFolder::read(closed.there) == content);
    REQUIRE(done.notes.texts().size() == 1);
    CHECK(done.notes.texts().front().find("written over in place") != std::string::npos);
  }
  // What was reserved in vain was given back.
  CHECK(closed.install(std::string(900000, 'y')).installed.has_value());
}

TEST_CASE("what a killed install has left goes with the next one into that folder, and what one works on does not") {
  std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
  const fs::path folder = ::mkdtemp(name.data());
  for (const auto* file : {"source", ".gorgone-copying-0123456789abcdef", ".gorgone-copying-fedcba9876543210", ".gorgone-other"})
    ClosedFolder::write(folder / file, file);
  fs::create_symlink("source", folder / ".gorgone-copying-link");
  const FileDescriptor at_work(::open((folder / ".gorgone-copying-fedcba9876543210").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::flock(at_work.get(), LOCK_EX | LOCK_NB) == 0);
  Notes notes;
  REQUIRE(install_file(folder / "source", folder / "there", {}, notes).has_value());
  CHECK(ClosedFolder::read(folder / "there") == "source");
  CHECK_FALSE(fs::exists(folder / ".gorgone-copying-0123456789abcdef"));
  CHECK(fs::exists(folder / ".gorgone-copying-fedcba9876543210"));
  CHECK(fs::exists(folder / ".gorgone-other"));
  CHECK(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 4);
  fs::remove_all(folder);
}
