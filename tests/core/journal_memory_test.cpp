// The journal in memory while its file cannot be written: what goes into the file later, what is bounded.
#include "journal_faults_fixture.hpp"

#include <functional>

using namespace gorgone;
using namespace gorgone::journal_test;

TEST_CASE("what lies in memory when the journal is closed goes into a file that can be written again") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  {
    const Lock lock(directory.file());
    journal.write(NewRow{"tok", 2, "{}"});
    CHECK_FALSE(store(loop, journal, message("one")));
    REQUIRE(journal.in_memory());
  }
  journal.close();
  JournalFile again(loop, directory.file());
  CHECK(read(loop, again, of_token("tok")).size() == 1);
  CHECK(outgoing(loop, again).size() == 1);
}

TEST_CASE("more rows in memory than the file had come into it, though their ids were not known to be taken") {
  Directory directory;
  {
    boost::asio::io_context loop;
    JournalFile journal(loop, directory.file());
    for (int i = 0; i < 3; ++i) journal.write(NewRow{"tok", 0, std::to_string(i)});
  }
  execute(directory.file(), "PRAGMA journal_mode = DELETE");
  boost::asio::io_context loop;
  auto lock = std::make_unique<Lock>(directory.file());
  JournalFile journal(loop, directory.file());
  REQUIRE(journal.in_memory());
  for (int i = 3; i < 10; ++i) journal.write(NewRow{"tok", 0, std::to_string(i)});
  lock.reset();
  wait_for_file(journal);
  const auto rows = read(loop, journal, of_token("tok"));
  REQUIRE(rows.size() == 10);
  for (std::size_t i = 0; i < rows.size(); ++i) CHECK(rows[i].data == std::to_string(i));
}

TEST_CASE("rows in memory are bounded in bytes: the oldest go, and the newest are in the file afterwards") {
  Directory directory;
  fs::create_directory(fs::path(directory.file("later")).parent_path());
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file("later/history.sdb"));
  REQUIRE(journal.in_memory());
  const std::string megabyte(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) {
    journal.write(NewRow{std::to_string(i), 2, megabyte});
    read(loop, journal, of_token("none"));
  }
  CHECK(read(loop, journal, of_token("0")).empty());
  CHECK(read(loop, journal, of_token("30")).empty());
  CHECK(read(loop, journal, of_token("99")).size() == 1);
  fs::create_directory(directory.file("later"));
  wait_for_file(journal);
  HistoryFilter finished;
  finished.code = 2;
  const auto rows = read(loop, journal, finished);
  CHECK(rows.size() > 50);
  CHECK(rows.size() < 65);
  CHECK(rows.back().token == "99");
}

TEST_CASE("a message for which memory has no room is refused as busy, and none that was accepted is dropped for it") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file("later/history.sdb"));
  REQUIRE(journal.in_memory());
  int accepted = 0;
  std::optional<Error> refused;
  while (accepted < 100 && !refused) {
    refused = store(loop, journal, message(std::to_string(accepted), 1 << 20));
    if (!refused) ++accepted;
  }
  REQUIRE(refused);
  CHECK(refused->code == "busy");
  CHECK(accepted >= 60);
  CHECK(accepted <= 64);
  journal.forget_outgoing("0", {});
  CHECK_FALSE(store(loop, journal, message("again", 1 << 20)));
  CHECK(outgoing(loop, journal).size() == static_cast<std::size_t>(accepted));
  fs::create_directory(directory.file("later"));
  wait_for_file(journal);
  CHECK(outgoing(loop, journal).size() == static_cast<std::size_t>(accepted));
}

namespace {

struct Outcomes {
  int stored = 0, busy = 0, other = 0;
  template <class T>
  void count(const Result<T>& result) {
    ++(result ? stored : result.error().code == "busy" ? busy : other);
  }
};

/// Of 80 messages of a megabyte each that `put` hands over with what is to be told of its outcome, while another program has locked the
/// file: nothing runs in the two seconds of patience with it, as when a disk does not answer. `last` is handed over behind them, `then`
/// runs before the file is free.
void check_bound(const std::string& file, boost::asio::io_context& loop, JournalFile& journal,
                 const std::function<void(int number, Outcomes& outcomes)>& put, const std::function<void()>& last,
                 const std::function<void()>& then = {}) {
  read(loop, journal, of_token("none"));
  const Lock lock(file);
  Outcomes outcomes;
  for (int i = 0; i < 80; ++i) put(i, outcomes);
  last();
  loop.restart();
  auto work = boost::asio::make_work_guard(loop);
  while (outcomes.stored + outcomes.busy + outcomes.other < 80) loop.run_one();
  CHECK(outcomes.busy >= 16);
  CHECK(outcomes.stored >= 60);
  CHECK(outcomes.other == 0);
  if (then) then();
}

}  // namespace

TEST_CASE("what waits for a disk that hangs is bounded, and what comes beyond it is refused as busy") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  auto put = [&](int i, Outcomes& outcomes) {
    journal.store_outgoing(message(std::to_string(i), 1 << 20), false, [&](const Result<bool>& result) { outcomes.count(result); });
  };
  check_bound(directory.file(), loop, journal, put, [&] { journal.forget_outgoing("0", {}); });  // takes no room: never refused
}

TEST_CASE("rows of other nodes that wait for a disk that hangs are bounded too") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  auto put = [&](int i, Outcomes& outcomes) {
    journal.store_fetched("2", i, {NewRow{"token", 2, std::string(1 << 20, 'x')}},
                          [&](const Result<void>& result) { outcomes.count(result); });
  };
  auto give_up = [&] { journal.give_up_outgoing("0", NewRow{"given up", 1, "{}"}); };  // never refused
  auto is_told = [&] { CHECK(read(loop, journal, of_token("given up")).size() == 1); };
  check_bound(directory.file(), loop, journal, put, give_up, is_told);
}
