// Files in their place, and what is left beside it. One that may be written in a folder that may not: there a copy cannot be renamed over
// what was there.
#include "files.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

using namespace gorgone;
using namespace gorgone::action;
namespace fs = std::filesystem;

namespace {

constexpr uid_t account = 65534;

// A file system of 1 MB, or without bound and without fallocate(), whose folder is root's and whose file is somebody else's, as whom the
// test goes on.
struct ClosedFolder {
  fs::path folder, there, source, kept;
  bool is_mounted = false;

  explicit ClosedFolder(const char* type = "tmpfs", const char* words = "size=1m,mode=0755") {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    there = folder / "small" / "file";
    source = folder / "source";
    kept = folder / "kept";
    fs::permissions(folder, fs::perms(0755));
    fs::create_directory(there.parent_path());
    fs::create_directory(kept);
    is_mounted = ::geteuid() == 0 && ::mount(type, there.parent_path().c_str(), type, 0, words) == 0;
    if (!is_mounted) return;
    write(there, "old content");
    REQUIRE(::chown(there.c_str(), account, account) == 0);
    REQUIRE(::chown(kept.c_str(), account, account) == 0);
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
  Outcome install(const std::string& content, bool is_allowed = true) {
    write(source, content);
    Outcome outcome;
    REQUIRE(::seteuid(account) == 0);
    outcome.installed = install_file(source, there, {}, outcome.notes, {is_allowed, kept});
    REQUIRE(::seteuid(0) == 0);
    return outcome;
  }
  std::vector<Recovery> restore() const {
    REQUIRE(::seteuid(account) == 0);
    auto recoveries = restore_overwritten(kept);
    REQUIRE(::seteuid(0) == 0);
    return recoveries;
  }
  bool has_kept() const { return !fs::is_empty(kept); }
};

// Files of this process have at most so many bytes: what is longer is written up to there, and then fails as on a full disk.
class ShortFiles {
 public:
  explicit ShortFiles(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit less{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &less);
  }
  ~ShortFiles() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  ShortFiles(const ShortFiles&) = delete;
  ShortFiles& operator=(const ShortFiles&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

constexpr rlim_t short_bytes = 300000;
const std::string long_content(600000, 'n');

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
  CHECK_FALSE(closed.has_kept());
  // What was reserved in vain was given back.
  CHECK(closed.install(std::string(900000, 'y')).installed.has_value());
}

TEST_CASE("with overwrite_in_place false such a file is refused with the folder, and stays as it was") {
  ClosedFolder closed;
  if (!closed.is_mounted) {
    WARN("not checked: this needs root and a tmpfs");
    return;
  }
  const auto refused = closed.install("new content", false);
  REQUIRE_FALSE(refused.installed.has_value());
  const auto expected = "this daemon may not write to the folder '" + closed.there.parent_path().string() + "' (Permission denied), and '" +
                        closed.there.string() + "' is not written over in place (modules.action.overwrite_in_place): let its user write";
  CHECK(refused.installed.error().message.find(expected) == 0);
  CHECK(ClosedFolder::read(closed.there) == "old content");
  // Where the folder may be written it is of no matter.
  REQUIRE(::chown(closed.there.parent_path().c_str(), account, account) == 0);
  CHECK(closed.install("new content", false).installed.has_value());
  CHECK(ClosedFolder::read(closed.there) == "new content");
}

TEST_CASE("what was written over has its old content again where the disk fails in the middle") {
  ClosedFolder closed("ramfs", nullptr);
  if (!closed.is_mounted) {
    WARN("not checked: this needs root and a ramfs");
    return;
  }
  for (const auto& old : {std::string("old content"), std::string(short_bytes - 1000, 'o')}) {
    ClosedFolder::write(closed.there, old);
    ClosedFolder::Outcome failed;
    ClosedFolder::write(closed.source, long_content);
    {
      const ShortFiles limit(short_bytes);
      REQUIRE(::seteuid(account) == 0);
      failed.installed = install_file(closed.source, closed.there, {}, failed.notes, {true, closed.kept});
      REQUIRE(::seteuid(0) == 0);
    }
    REQUIRE_FALSE(failed.installed.has_value());
    CHECK(failed.installed.error().message ==
          "cannot write a copy of '" + closed.source.string() + "': File too large; its old content was put back");
    const bool is_as_it_was = ClosedFolder::read(closed.there) == old;  // what came instead is long
    CHECK(is_as_it_was);
    CHECK_FALSE(closed.has_kept());
  }
  CHECK(closed.install(long_content).installed.has_value());
}

TEST_CASE("what a daemon that was killed has written over in part has its old content again at the next start") {
  ClosedFolder closed("ramfs", nullptr);
  if (!closed.is_mounted) {
    WARN("not checked: this needs root and a ramfs");
    return;
  }
  const auto be_killed = [&closed] {
    ClosedFolder::write(closed.source, long_content);
    const auto child = ::fork();
    if (child == 0) {
      // The write that goes beyond the limit ends the process.
      std::signal(SIGXFSZ, SIG_DFL);
      const rlimit no_core{0, 0}, short_files{short_bytes, short_bytes};
      ::setrlimit(RLIMIT_CORE, &no_core);
      ::setrlimit(RLIMIT_FSIZE, &short_files);
      Notes notes;
      if (::seteuid(account) == 0) (void)install_file(closed.source, closed.there, {}, notes, {true, closed.kept});
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    const bool is_half = ClosedFolder::read(closed.there) == long_content.substr(0, short_bytes);
    REQUIRE(is_half);
  };
  be_killed();
  ClosedFolder::write(closed.kept / ".gorgone-keeping-0123456789abcdef", "not whole");
  auto recoveries = closed.restore();
  REQUIRE(recoveries.size() == 1);
  CHECK(recoveries[0].is_restored);
  CHECK(recoveries[0].text ==
        "'" + closed.there.string() + "' was being written over when the daemon was ended: its old content was put back");
  CHECK(ClosedFolder::read(closed.there) == "old content");
  CHECK_FALSE(closed.has_kept());
  CHECK(closed.restore().empty());

  // Who has repaired it in its place keeps what he wrote.
  be_killed();
  const auto kept = fs::directory_iterator(closed.kept)->path();
  fs::last_write_time(kept, fs::last_write_time(closed.there) - std::chrono::seconds(60));
  ClosedFolder::write(closed.there, "repaired");
  recoveries = closed.restore();
  REQUIRE(recoveries.size() == 1);
  CHECK_FALSE(recoveries[0].is_restored);
  CHECK(recoveries[0].text.find("somebody has changed it since; its old content is in '" + kept.string() + ".kept'") != std::string::npos);
  CHECK(ClosedFolder::read(closed.there) == "repaired");
  fs::remove(kept.string() + ".kept");

  // What is left of one that could not be removed is of no use, and what is not the daemon's own is told and left alone.
  ClosedFolder::write(closed.kept / "overwritten-0123456789abcdef", "");
  REQUIRE(::chown((closed.kept / "overwritten-0123456789abcdef").c_str(), account, account) == 0);
  ClosedFolder::write(closed.kept / "overwritten-fedcba9876543210", "2 3\n/at");
  recoveries = closed.restore();
  REQUIRE(recoveries.size() == 1);
  CHECK(recoveries[0].text.find("is not put back: ") != std::string::npos);
  CHECK_FALSE(fs::exists(closed.kept / "overwritten-0123456789abcdef"));
  fs::remove(closed.kept / "overwritten-fedcba9876543210");

  // What others have put there meanwhile stays, and the old content is told of and stays too.
  ClosedFolder::write(closed.there, "old content");
  be_killed();
  fs::rename(closed.there, closed.there.string() + ".before");
  ClosedFolder::write(closed.there, "somebody else's");
  recoveries = closed.restore();
  REQUIRE(recoveries.size() == 1);
  CHECK_FALSE(recoveries[0].is_restored);
  CHECK(ClosedFolder::read(closed.there) == "somebody else's");
  const auto at = recoveries[0].text.find("its old content is in '" + closed.kept.string());
  REQUIRE(at != std::string::npos);
  CHECK(closed.restore().empty());
  REQUIRE(closed.has_kept());
  const auto text = ClosedFolder::read(fs::directory_iterator(closed.kept)->path());
  CHECK(text.ends_with(closed.there.string() + "old content"));
}

TEST_CASE("nothing is written over where its old content cannot be kept") {
  ClosedFolder closed;
  if (!closed.is_mounted) {
    WARN("not checked: this needs root and a tmpfs");
    return;
  }
  REQUIRE(::chown(closed.kept.c_str(), 0, 0) == 0);
  const auto refused = closed.install("new content");
  REQUIRE_FALSE(refused.installed.has_value());
  CHECK(refused.installed.error().message == "'" + closed.there.string() +
                                                 "' can only be written over in place, and what it holds cannot be kept meanwhile: cannot "
                                                 "create a file in '" +
                                                 closed.kept.string() + "': Permission denied");
  CHECK(ClosedFolder::read(closed.there) == "old content");
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
  REQUIRE(install_file(folder / "source", folder / "there", {}, notes, {}).has_value());
  CHECK(ClosedFolder::read(folder / "there") == "source");
  CHECK_FALSE(fs::exists(folder / ".gorgone-copying-0123456789abcdef"));
  CHECK(fs::exists(folder / ".gorgone-copying-fedcba9876543210"));
  CHECK(fs::exists(folder / ".gorgone-other"));
  CHECK(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 4);
  fs::remove_all(folder);
}
