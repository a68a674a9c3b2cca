// The spool on the disk, without a loop: what is taken up, what is said again after a kill, what is deleted when.
#include "spool_disk.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

using namespace gorgone::legacycmd;

namespace {

const Room plenty(1 << 20);

struct SpoolFixture {
  std::filesystem::path folder;
  SpoolDisk::Options options;
  std::unique_ptr<SpoolDisk> disk;

  SpoolFixture() {
    std::string name = std::filesystem::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    options.cmd_file = folder / "centcore.cmd";
    options.cmd_dir = folder / "centcore";
    options.grace = std::chrono::milliseconds(20);
    std::filesystem::create_directory(options.cmd_dir);
    restart();
  }
  ~SpoolFixture() { std::filesystem::remove_all(folder); }

  /// As a process that was killed and started again.
  void restart() { disk = std::make_unique<SpoolDisk>(options); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder / name, std::ios::app) << text; }
  std::string text(const std::string& name) const {
    std::stringstream all;
    all << std::ifstream(folder / name).rdbuf();
    return all.str();
  }
  std::vector<SpoolDisk::Job> scan(const Room& room = plenty) const {
    auto step = disk->step({}, true, room);
    for (const auto& problem : step.problems) UNSCOPED_INFO(problem);
    CHECK(step.problems.empty());
    return std::move(step.jobs);
  }
  void done(const std::vector<SpoolDisk::Job>& jobs) const {
    std::vector<SpoolDisk::Done> list;
    for (const auto& job : jobs) list.push_back({job.file, {job.unit.places.front()}});
    disk->step(list, false, plenty);
  }
  void wait() const { std::this_thread::sleep_for(options.grace + std::chrono::milliseconds(5)); }
  std::size_t left() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) count += entry.is_regular_file() ? 1 : 0;
    return count;
  }
};

std::vector<std::string> targets(const std::vector<SpoolDisk::Job>& jobs) {
  std::vector<std::string> all;
  for (const auto& job : jobs) all.push_back(job.unit.line.target);
  return all;
}

std::vector<std::string> ids(const std::vector<SpoolDisk::Job>& jobs) {
  std::vector<std::string> all;
  for (const auto& job : jobs) all.push_back(job.id);
  return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE_METHOD(SpoolFixture, "the file goes before the folder, where the oldest goes first") {
  write("centcore/b", "RELOAD:2\n");
  std::filesystem::last_write_time(folder / "centcore/b", std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  write("centcore/a", "RELOAD:3\n");
  write("centcore/.hidden", "RELOAD:4\n");
  write("centcore.cmd", "RELOAD:1\n");
  CHECK(targets(scan()) == Texts{"1", "2", "3"});
  CHECK(std::filesystem::exists(folder / "centcore.cmd_read"));
  CHECK(std::filesystem::exists(folder / "centcore/a_read"));
  CHECK(std::filesystem::exists(folder / "centcore/.hidden"));
}

TEST_CASE_METHOD(SpoolFixture, "a file is marked where it is done, and deleted when all of it is") {
  write("centcore.cmd", "RELOAD:1\nRELOAD:2\n");
  auto jobs = scan();
  REQUIRE(jobs.size() == 2);
  done({jobs[1]});
  CHECK(text("centcore.cmd_read") == "RELOAD:1\n-ELOAD:2\n");
  wait();
  done({jobs[0]});
  CHECK(left() == 0);
}

TEST_CASE_METHOD(SpoolFixture, "after a kill what was not done is said again under the same ids, in both modes") {
  options.marks_lines = GENERATE(true, false);
  restart();
  write("centcore.cmd", "RELOAD:1\nEXTERNALCMD:1:a\nEXTERNALCMD:1:b\nRELOAD:2\n");
  auto jobs = scan();
  REQUIRE(jobs.size() == 3);
  done({jobs[0]});
  CHECK(text("centcore.cmd_read").starts_with(options.marks_lines ? "-ELOAD:1" : "RELOAD:1"));
  restart();
  const auto again = scan();
  CHECK(ids(again) == Texts{jobs[1].id, jobs[2].id});
  wait();
  done(again);
  CHECK(left() == 0);
}

TEST_CASE_METHOD(SpoolFixture, "bulks are put together after a kill as they were, whatever has come since and is configured now") {
  write("centcore.cmd", "EXTERNALCMD:1:a\nEXTERNALCMD:1:b\n");
  const auto before = scan();
  REQUIRE(before.size() == 1);
  write("centcore.cmd_read", "EXTERNALCMD:1:c\n");
  options.bulk.lines = 1;
  restart();
  const auto after = scan();
  REQUIRE(after.size() == 2);
  CHECK(after[0].id == before[0].id);
  CHECK(after[0].unit.line.param == "a\nb");
  CHECK(after[1].unit.line.param == "c");
}

TEST_CASE_METHOD(SpoolFixture, "a new file of an old name, with the same text at the same place, has other ids") {
  write("centcore.cmd", "RELOAD:1\n");
  const auto first = scan();
  wait();
  done(first);
  REQUIRE(left() == 0);
  write("centcore.cmd", "RELOAD:1\n");
  CHECK(ids(scan()) != ids(first));
}

TEST_CASE_METHOD(SpoolFixture, "a record that was left behind says nothing of a file that took the name") {
  write("centcore.cmd", "RELOAD:1\n");
  const auto first = scan();
  std::filesystem::copy(folder / ".centcore.cmd_read.gorgone", folder / "kept");
  wait();
  done(first);
  std::filesystem::rename(folder / "kept", folder / ".centcore.cmd_read.gorgone");
  restart();
  write("centcore.cmd", "RELOAD:1\n");
  const auto second = scan();
  REQUIRE(second.size() == 1);
  CHECK(ids(second) != ids(first));
}

TEST_CASE_METHOD(SpoolFixture, "a file whose lines wait is not overwritten by the next of its name, and their order is kept after a kill") {
  write("centcore.cmd", "RELOAD:1\n");
  const auto first = scan();
  write("centcore.cmd", "RELOAD:2\n");
  const auto second = scan();
  CHECK(targets(second) == Texts{"2"});
  restart();
  CHECK(ids(scan()) == Texts{first[0].id, second[0].id});
}

TEST_CASE_METHOD(SpoolFixture, "half a line is waited for, and taken as it is when nothing comes") {
  write("centcore.cmd", "RELOAD:1\nRELOAD:");
  CHECK(targets(scan()) == Texts{"1"});
  write("centcore.cmd_read", "2");
  CHECK(disk->step({}, false, plenty).jobs.empty());
  wait();
  const auto last = disk->step({}, false, plenty);
  CHECK(targets(last.jobs) == Texts{"2"});
}

TEST_CASE_METHOD(SpoolFixture, "what there is no room for stays on the disk, and the order is kept") {
  for (const char* name : {"a", "b", "c"}) write(std::string("centcore/") + name, "RELOAD:1\nRELOAD:2\n");
  auto step = disk->step({}, true, Room(1));
  CHECK(targets(step.jobs) == Texts{"1"});
  CHECK(step.waits_for_room);
  CHECK(disk->step({}, false, Room(0)).jobs.empty());
  CHECK(targets(disk->step({}, false, plenty).jobs) == Texts{"2", "1", "2", "1", "2"});
}

TEST_CASE_METHOD(SpoolFixture, "a file that is empty may still be written, and is left alone at first") {
  write("centcore/new", "");
  CHECK(scan().empty());
  CHECK(std::filesystem::exists(folder / "centcore/new"));
  std::filesystem::last_write_time(folder / "centcore/new", std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  scan();
  wait();
  disk->step({}, false, plenty);
  CHECK(left() == 0);
}

TEST_CASE_METHOD(SpoolFixture, "what is no file is left alone, and a folder that is missing is no problem") {
  std::filesystem::create_directory(folder / "centcore/sub");
  ::mkfifo((folder / "centcore/pipe").c_str(), 0600);
  std::filesystem::create_symlink("/etc/passwd", folder / "centcore/link");
  CHECK(scan().empty());
  std::filesystem::remove_all(folder / "centcore");
  CHECK(scan().empty());
}

namespace {

/// While it lives no file of this process can grow beyond `size`, as on a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(std::uintmax_t size) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit tight{static_cast<rlim_t>(size), before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &tight);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

/// While it lives the descriptor that has `file` open cannot be read, and cannot be asked for its size either where `is_stale`.
class Unreadable {
 public:
  explicit Unreadable(const std::filesystem::path& file, bool is_stale = false) {
    for (int number = 3; number < 1024 && number_ < 0; ++number) {
      std::error_code none;
      if (std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(number), none) == file) number_ = number;
    }
    REQUIRE(number_ >= 0);
    kept_ = ::dup(number_);
    if (is_stale) {
      ::close(number_);
      return;
    }
    const int deaf = ::open(file.c_str(), O_WRONLY);
    ::dup2(deaf, number_);
    ::close(deaf);
  }
  ~Unreadable() {
    ::dup2(kept_, number_);
    ::close(kept_);
  }
  Unreadable(const Unreadable&) = delete;
  Unreadable& operator=(const Unreadable&) = delete;

 private:
  int number_ = -1, kept_ = -1;
};

const char* const record = ".centcore.cmd_read.gorgone";

}  // namespace

TEST_CASE_METHOD(SpoolFixture, "a record that a full disk cut in the middle of a line is whole again when there is room") {
  write("centcore.cmd", "RELOAD:1\n");
  const auto first = scan();
  const auto before = text(record);
  write("centcore.cmd_read", "RELOAD:2\n");
  {
    const FullDisk full(before.size() + 7);
    const auto step = disk->step({}, false, plenty);
    CHECK(step.jobs.empty());
    CHECK(step.problems.size() == 1);
    CHECK(text(record) == before);
  }
  const auto second = scan();
  CHECK(targets(second) == Texts{"2"});
  CHECK(text(record).starts_with(before + "portion 9 18 "));
  restart();
  CHECK(ids(scan()) == Texts{first[0].id, second[0].id});
}

TEST_CASE_METHOD(SpoolFixture, "a half line that a kill left in the record does not spoil the next one") {
  write("centcore.cmd", "RELOAD:1\n");
  const auto first = scan();
  write(record, "portion 9 1");
  write("centcore.cmd_read", "RELOAD:2\n");
  restart();
  const auto second = scan();
  REQUIRE(targets(second) == Texts{"1", "2"});
  CHECK(text(record).find("portion 9 1portion") == std::string::npos);
  restart();
  CHECK(ids(scan()) == ids(second));
}

TEST_CASE_METHOD(SpoolFixture, "lines of which a damaged record says nothing are sent, though it tells of lines behind them") {
  write("centcore.cmd", "RELOAD:1\n");
  scan();
  for (const char* line : {"RELOAD:2\n", "RELOAD:3\n"}) {
    write("centcore.cmd_read", line);
    scan();
  }
  auto damaged = text(record);
  damaged.replace(damaged.find("portion 9 "), 8, "p-rti-n ");
  std::ofstream(folder / record) << damaged;
  restart();
  const auto jobs = scan();
  CHECK(targets(jobs) == Texts{"1", "2", "3"});
  restart();
  CHECK(ids(scan()) == ids(jobs));
  wait();
  done(jobs);
  CHECK(left() == 0);
}

TEST_CASE_METHOD(SpoolFixture, "a file that cannot be read for a while is kept and read later") {
  write("centcore.cmd", "RELOAD:1\nRELOAD:2\n");
  const auto before = scan();
  restart();
  CHECK(disk->step({}, true, Room(0)).jobs.empty());
  wait();
  {
    const Unreadable unreadable(folder / "centcore.cmd_read");
    const auto step = disk->step({}, false, plenty);
    CHECK(step.jobs.empty());
    CHECK(step.problems.size() == 1);
  }
  const auto again = disk->step({}, false, plenty);
  CHECK(ids(again.jobs) == ids(before));
}

TEST_CASE_METHOD(SpoolFixture, "a file whose size cannot be told is not taken for an empty one") {
  write("centcore.cmd", "RELOAD:1\n");
  CHECK(disk->step({}, true, Room(0)).jobs.empty());
  wait();
  {
    const bool is_stale = GENERATE(true, false);
    const Unreadable unreadable(folder / "centcore.cmd_read", is_stale);
    CHECK(disk->step({}, false, plenty).problems.size() == 1);
  }
  CHECK(targets(disk->step({}, false, plenty).jobs) == Texts{"1"});
}

TEST_CASE_METHOD(SpoolFixture, "of a file that was cut short what is left is sent, and the loss is told") {
  write("centcore.cmd", "RELOAD:1\nRELOAD:2\n");
  const auto before = scan();
  std::filesystem::resize_file(folder / "centcore.cmd_read", 9);
  restart();
  const auto step = disk->step({}, true, plenty);
  CHECK(ids(step.jobs) == Texts{before[0].id});
  CHECK(step.problems.size() == 1);
}

TEST_CASE_METHOD(SpoolFixture, "pieces in a damaged record that no file can have are passed over, and every line is sent under its id") {
  write("centcore.cmd", "RELOAD:1\n");
  const auto first = scan();
  for (const char* line : {"9 1 50 1", "9 9 50 1", "9 99999999999 50 1", "18446744073709551000 18446744073709551600 50 1"})
    write(record, std::string("portion ") + line + '\n');
  write("centcore.cmd_read", "RELOAD:2\n");
  restart();
  const auto jobs = scan();
  REQUIRE(targets(jobs) == Texts{"1", "2"});
  CHECK(jobs[0].id == first[0].id);
  wait();
  done(jobs);
  CHECK(left() == 0);
}

TEST_CASE_METHOD(SpoolFixture, "a poller whose lane is full keeps no other from being read, and its lines come later, once and in order") {
  options.marks_lines = GENERATE(true, false);
  restart();
  write("centcore.cmd", "RELOAD:1\nNONSENSE\nRELOAD:1\nRELOAD:1\nRELOAD:2\n");
  write("centcore/next", "RELOAD:1\nRELOAD:2\n");
  Room::Limits limits;
  limits.lane = 1;  // one line of each poller
  auto limited = [&] { return Room(1 << 20, limits); };
  std::vector<std::pair<std::uint64_t, std::uint64_t>> sent;
  auto note = [&](const SpoolDisk::Step& step) {
    for (const auto& job : step.jobs)
      if (job.unit.line.target == "1") sent.emplace_back(job.file, job.unit.places.front());
  };
  const auto first = disk->step({}, true, limited());
  CHECK(targets(first.jobs) == Texts{"1", "", "2"});
  CHECK(first.waits_for_room);
  note(first);
  auto full = limited();
  full.holds("1", 1);
  CHECK(targets(disk->step({}, false, full).jobs) == Texts{"2"});
  // What is done meanwhile is marked, which changes the text that is read again.
  std::vector<SpoolDisk::Done> over;
  for (const auto& job : first.jobs) over.push_back({job.file, {job.unit.places.front()}});
  note(disk->step(over, false, limited()));
  for (int i = 0; i < 5; ++i) note(disk->step({}, false, limited()));
  CHECK(sent == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{1, 0}, {1, 18}, {1, 27}, {2, 0}});
  CHECK_FALSE(disk->step({}, false, limited()).waits_for_room);
}

TEST_CASE_METHOD(SpoolFixture, "while all lanes hold what they may a poller still gets the little that each may hold") {
  write("centcore.cmd", "RELOAD:1\nRELOAD:2\nRELOAD:2\n");
  Room::Limits limits;
  limits.least = 1;
  Room room(0, limits);
  room.holds("1", 1000);
  CHECK(targets(disk->step({}, true, room).jobs) == Texts{"2"});
}
