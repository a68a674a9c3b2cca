#include "tests/fuzz/sandbox.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cctype>
#include <fstream>
#include <sstream>
#include <string_view>

namespace fs = std::filesystem;

namespace gorgone::fuzz {
namespace {

constexpr const char* secret = "nobody but its owner writes here";
std::string guarded, guarded_own;

/// Before the call, so that what must not be written is not written.
void check_name(int folder, const char* name) {
  if (guarded.empty() || folder == AT_FDCWD) return;
  std::string_view text(name);
  if (!guarded_own.empty() && text.starts_with(guarded_own)) text.remove_prefix(guarded_own.size());
  require(!text.empty() && text.find('/') == text.npos && text != "..", "a name given to the system is one part of a path", text);
  std::error_code unknown;
  const auto place = fs::read_symlink("/proc/self/fd/" + std::to_string(folder), unknown).string();
  require(unknown || place.starts_with(guarded), "nothing is touched outside of the destination", place);
}

bool is_below(const fs::path& path, const fs::path& folder) {
  const auto rest = path.lexically_relative(folder);
  return !rest.empty() && *rest.begin() != "..";
}

// Names that the code under test makes up: those of archives may begin like them.
bool is_unfinished(const std::string& name) { return name.starts_with(".gorgone-unpacking-") || name.starts_with(".gorgone-copying-"); }

}  // namespace

void guard_names(const std::string& root, const std::string& own_folder) {
  guarded = root;
  guarded_own = own_folder;
}

void Sandbox::reset() {
  for (const auto& folder : {destination(), outside(), cache()}) {
    fs::remove_all(folder);
    fs::create_directory(folder);
  }
  fs::remove(copied());
  std::ofstream(outside() / "secret") << secret;
  std::ofstream(destination() / "file") << "old";
  fs::create_directory(destination() / "folder");
  fs::create_directory_symlink("../outside", destination() / "out");
  fs::create_directory_symlink("folder", destination() / "in");
}

void Sandbox::check(std::string_view archive) const {
  check_outside();
  for (const auto& entry : fs::recursive_directory_iterator(destination())) {
    const auto& path = entry.path();
    const auto status = entry.symlink_status();
    const auto name = path.filename().string();
    require(!is_unfinished(name) || archive.find(name) != archive.npos, "nothing unfinished is left", path.string());
    if (fs::is_symlink(status)) {
      check_link(path);
    } else {
      require(fs::is_regular_file(status) || fs::is_directory(status), "only files, folders and links are made", path.string());
      require((status.permissions() & (fs::perms::set_uid | fs::perms::set_gid)) == fs::perms::none, "nothing is set-user-id",
              path.string());
    }
  }
}

void Sandbox::check_outside() const {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(outside())) count += entry.path().filename() == "secret" ? 1 : 100;
  require(count == 1, "nothing is added outside of the destination, nothing is taken away");
  for (const auto& entry : fs::directory_iterator(root())) {
    const auto name = entry.path().filename();
    require(name == "to" || name == "outside" || name == "cache" || name == "copied" || name == "archive",
            "nothing is made beside the destination", name.string());
  }
  std::ostringstream content;
  content << std::ifstream(outside() / "secret").rdbuf();
  require(content.str() == secret, "what is outside of the destination stays as it is");
  struct stat status {};
  require(::stat((outside() / "secret").c_str(), &status) == 0 && status.st_nlink == 1, "nothing in the destination is a file of outside");
}

void Sandbox::check_link(const fs::path& link) const {
  std::error_code unknown;
  const auto target = fs::read_symlink(link, unknown);
  if (link == destination() / "out" && target == "../outside") return;  // it was there before
  require(!target.is_absolute(), "no link is absolute", target.string());
  const auto lexical = (link.parent_path() / target).lexically_normal();
  require(is_below(lexical, destination()), "no link leads out of the destination by its text", link.string() + " -> " + target.string());
}

std::vector<std::string> Sandbox::listing() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(destination())) {
    const auto status = entry.symlink_status();
    names.push_back(entry.path().string() + (fs::is_regular_file(status) ? " " + std::to_string(entry.file_size()) : std::string()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace gorgone::fuzz

using gorgone::fuzz::check_name;

// The linker sends the calls of the code under test here (--wrap).
extern "C" {
int __real_openat(int folder, const char* name, int flags, ...);
int __real_mkdirat(int folder, const char* name, mode_t mode);
int __real_symlinkat(const char* target, int folder, const char* name);
int __real_linkat(int from_folder, const char* from, int folder, const char* name, int flags);
int __real_renameat(int from_folder, const char* from, int folder, const char* name);

int __wrap_openat(int folder, const char* name, int flags, mode_t mode) {
  check_name(folder, name);
  return __real_openat(folder, name, flags, mode);
}
int __wrap_mkdirat(int folder, const char* name, mode_t mode) {
  check_name(folder, name);
  return __real_mkdirat(folder, name, mode);
}
int __wrap_symlinkat(const char* target, int folder, const char* name) {
  check_name(folder, name);
  return __real_symlinkat(target, folder, name);
}
int __wrap_linkat(int from_folder, const char* from, int folder, const char* name, int flags) {
  check_name(from_folder, from);
  check_name(folder, name);
  return __real_linkat(from_folder, from, folder, name, flags);
}
int __wrap_renameat(int from_folder, const char* from, int folder, const char* name) {
  check_name(from_folder, from);
  check_name(folder, name);
  return __real_renameat(from_folder, from, folder, name);
}
}
