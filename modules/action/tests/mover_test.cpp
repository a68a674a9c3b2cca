// Files that are moved to where another file system is mounted: they cannot be renamed, so they are carried over. A file that did not come
// over whole is never put in place.
#include "files.hpp"
#include "folder_mover.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

using namespace gorgone;
using namespace gorgone::action;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

// A folder "from", and a folder "to" below which a file system of 1 MB is mounted as "to/other".
struct TwoFileSystems {
  fs::path folder, from, to;
  std::vector<fs::path> mounted;
  Notes notes;

  TwoFileSystems() {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    from = folder / "from";
    to = folder / "to";
    fs::create_directories(from / "other");
    fs::create_directories(to / "other");
    mount("tmpfs", to / "other", "tmpfs", 0, "size=1m");
  }
  ~TwoFileSystems() {
    for (const auto& path : mounted) ::umount2(path.c_str(), MNT_DETACH);
    fs::remove_all(folder);
  }
  bool mount(const char* what, const fs::path& where, const char* type, unsigned long flags, const char* words) {
    const bool is_mounted = ::geteuid() == 0 && ::mount(what, where.c_str(), type, flags, words) == 0;
    if (is_mounted) mounted.push_back(where);
    return is_mounted;
  }

  Result<void> move() {
    const FileDescriptor source(::open(from.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const FileDescriptor destination(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return move_content(source.get(), destination.get(), {}, notes);
  }
  std::string content(const std::string& path) const {
    std::stringstream text;
    text << std::ifstream(to / path, std::ios::binary).rdbuf();
    return text.str();
  }
  std::vector<std::string> names(const std::string& path) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(to / path)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

}  // namespace

TEST_CASE_METHOD(TwoFileSystems, "files, links and folders are carried over to another file system, with mode and time") {
  if (mounted.empty()) {
    WARN("not checked: this needs root and a tmpfs");
    return;
  }
  write(from / "other/file", std::string(700000, 'n'));
  ::chmod((from / "other/file").c_str(), 0640);
  const std::array<timespec, 2> times{timespec{1'600'000'000, 0}, timespec{1'600'000'000, 0}};
  ::utimensat(AT_FDCWD, (from / "other/file").c_str(), times.data(), 0);
  fs::create_symlink("file", from / "other/link");
  fs::create_directory(from / "other/folder");
  write(from / "other/folder/deep", "deep");
  write(to / "other/file", "old");
  auto moved = move();
  REQUIRE(moved.has_value());
  const bool is_whole = content("other/file") == std::string(700000, 'n');  // it is long
  CHECK(is_whole);
  struct stat status {};
  REQUIRE(::stat((to / "other/file").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  CHECK(status.st_mtime == 1'600'000'000);
  CHECK(fs::read_symlink(to / "other/link") == "file");
  CHECK(content("other/folder/deep") == "deep");
  CHECK(names("other") == std::vector<std::string>{"file", "folder", "link"});
}

TEST_CASE_METHOD(TwoFileSystems, "a file that another file system has no room for leaves what is there, and nothing beside it") {
  if (mounted.empty()) {
    WARN("not checked: this needs root and a tmpfs");
    return;
  }
  write(from / "other/file", std::string(std::size_t{3} << 20, 'n'));
  write(to / "other/file", "old");
  const auto moved = move();
  REQUIRE_FALSE(moved.has_value());
  CHECK(moved.error().message == "cannot write a copy of 'other/file': No space left on device");
  CHECK(content("other/file") == "old");
  CHECK(names("other") == std::vector<std::string>{"file"});
}

TEST_CASE_METHOD(TwoFileSystems, "a file that cannot be read to its end is not taken for a shorter one") {
  write(from / "other/file", "");
  // The memory of a process is a file whose first page cannot be read.
  if (mounted.empty() || !mount("/proc/self/mem", from / "other/file", nullptr, MS_BIND, nullptr)) {
    WARN("not checked: this needs root, a tmpfs and a bind mount");
    return;
  }
  write(to / "other/file", "old");
  const auto moved = move();
  REQUIRE_FALSE(moved.has_value());
  CHECK(moved.error().message == "cannot read 'other/file': Input/output error");
  CHECK(content("other/file") == "old");
  CHECK(names("other") == std::vector<std::string>{"file"});
}

TEST_CASE("a copy that cannot be synced is none") {
  // A pipe takes what is written and cannot be synced.
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const FileDescriptor reader(ends[0]), writer(ends[1]);
  const FileDescriptor source(::open("/proc/self/comm", O_RDONLY | O_CLOEXEC));
  const auto copied = copy_content(source.get(), writer.get(), "source", "copy");
  REQUIRE_FALSE(copied.has_value());
  CHECK(copied.error().message == "cannot sync 'copy': Invalid argument");
}
