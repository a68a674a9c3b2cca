// The journal while its file cannot be read: nothing in it is said not to be there.
#include "journal_faults_fixture.hpp"

using namespace gorgone;
using namespace gorgone::journal_test;

TEST_CASE("while the file cannot be read, what it keeps is not said to be nothing") {
  Directory directory;
  boost::asio::io_context loop;
  {
    JournalFile journal(loop, directory.file());
    journal.keep("test.records", "key", "data", {});
    wait<Kept>(loop, [&](auto done) { journal.kept("test.records", done, {}); });
  }
  execute(directory.file(), "PRAGMA journal_mode = DELETE");  // so that a lock keeps readers out too
  auto lock = std::make_unique<Lock>(directory.file());
  JournalFile journal(loop, directory.file());
  std::optional<Result<Kept>> answer;
  journal.kept("test.records", [&](Result<Kept> kept) { answer.emplace(std::move(kept)); }, {});
  auto work = boost::asio::make_work_guard(loop);
  loop.restart();
  while (!answer) loop.run_one();
  REQUIRE_FALSE(answer->has_value());
  CHECK(answer->error().code == "unreadable");
  lock.reset();
  wait_for_file(journal);
  CHECK(wait<Kept>(loop, [&](auto done) { journal.kept("test.records", done, {}); }).at("key") == "data");
}

TEST_CASE("a pinned key that cannot be read is not said to be missing, and is there again when it can be") {
  Directory directory;
  boost::asio::io_context loop;
  const auto pinned = [&loop](JournalFile& journal, const std::string& target) {
    std::optional<Result<std::optional<std::string>>> answer;
    journal.fingerprint_of(target, [&](const Result<std::optional<std::string>>& found) { answer.emplace(found); });
    auto work = boost::asio::make_work_guard(loop);
    loop.restart();
    while (!answer) loop.run_one();
    return *answer;
  };
  {
    JournalFile journal(loop, directory.file());
    journal.pin_fingerprint("tcp://a:1", "thumb", {});
    CHECK(pinned(journal, "tcp://a:1").value() == "thumb");
  }
  execute(directory.file(), "PRAGMA journal_mode = DELETE");
  auto lock = std::make_unique<Lock>(directory.file());
  JournalFile journal(loop, directory.file());
  const auto refused = pinned(journal, "tcp://a:1");
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == "unreadable");
  lock.reset();
  wait_for_file(journal);
  CHECK(pinned(journal, "tcp://a:1").value() == "thumb");
  CHECK(pinned(journal, "tcp://b:1").value() == std::nullopt);
}

TEST_CASE("a key that was pinned in memory does not take the place of one in the file") {
  Directory directory;
  boost::asio::io_context loop;
  fs::create_directory(directory.file("made"));
  {
    JournalFile journal(loop, directory.file("made/history.sdb"));
    journal.pin_fingerprint("tcp://a:1", "in the file", {});
  }
  JournalFile journal(loop, directory.file("later/history.sdb"));
  journal.pin_fingerprint("tcp://a:1", "in memory", {});
  journal.pin_fingerprint("tcp://b:1", "in memory", {});
  const auto pinned = [&](const std::string& target) {
    return wait<std::optional<std::string>>(loop, [&](auto done) { journal.fingerprint_of(target, done); });
  };
  CHECK(pinned("tcp://a:1") == "in memory");
  REQUIRE(journal.in_memory());
  fs::rename(directory.file("made"), directory.file("later"));
  wait_for_file(journal);
  CHECK(pinned("tcp://a:1") == "in the file");
  CHECK(pinned("tcp://b:1") == "in memory");
}

/// A journal begins while its file, which holds "old", is locked.
static void new_waits_for_old(boost::asio::io_context& loop, const std::string& file) {
  auto lock = std::make_unique<Lock>(file);
  JournalFile journal(loop, file);
  REQUIRE_FALSE(store(loop, journal, message("new")));
  const auto refused = refusal_of_outgoing(loop, journal);
  REQUIRE(refused);
  CHECK(refused->code == "unreadable");
  lock.reset();
  wait_for_file(journal);
  const auto list = outgoing(loop, journal);
  REQUIRE(list.size() == 2);
  CHECK(list[0].delivery == "old");
  CHECK(list[1].delivery == "new");
}

TEST_CASE("an outbox that cannot be read is not said to be empty, and holds the old before the new when it can be") {
  Directory directory;
  boost::asio::io_context loop;
  {
    JournalFile journal(loop, directory.file());
    REQUIRE_FALSE(store(loop, journal, message("old")));
  }
  execute(directory.file(), "PRAGMA journal_mode = DELETE");
  new_waits_for_old(loop, directory.file());
}

TEST_CASE("an outbox is not whole before what was put aside has been saved, however late in the same process") {
  Directory directory;
  boost::asio::io_context loop;
  leave_to_be_saved(loop, directory.file(), "old");
  new_waits_for_old(loop, directory.file());  // readers get in
}

TEST_CASE("an inbox that cannot be read is not said to be empty, and tells what it held before the start, not what came since") {
  Directory directory;
  boost::asio::io_context loop;
  {
    JournalFile journal(loop, directory.file());
    for (const char* name : {"taken", "begun", "repeated"}) journal.store_incoming(message(name), [](const Result<bool>&) {});
    journal.begin_incoming("begun", {});
  }
  execute(directory.file(), "PRAGMA journal_mode = DELETE");
  auto lock = std::make_unique<Lock>(directory.file());
  JournalFile journal(loop, directory.file());
  auto incoming = [&] {
    std::optional<Result<std::vector<StoredMessage>>> answer;
    journal.incoming([&](Result<std::vector<StoredMessage>> list) { answer.emplace(std::move(list)); });
    auto work = boost::asio::make_work_guard(loop);
    loop.restart();
    while (!answer) loop.run_one();
    return *answer;
  };
  const auto refused = incoming();
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == "unreadable");
  for (const char* name : {"repeated", "new"}) journal.store_incoming(message(name), [](const Result<bool>&) {});
  lock.reset();
  wait_for_file(journal);
  const auto list = incoming();
  REQUIRE(list.has_value());
  REQUIRE(list->size() == 1);
  CHECK(list->front().delivery == "taken");
  HistoryFilter failed;
  failed.code = 1;
  CHECK(read(loop, journal, failed).size() == 1);  // of the one that was begun
  CHECK_FALSE(wait<bool>(loop, [&](auto done) { journal.store_incoming(message("taken"), done); }));
}

TEST_CASE("rows that are fetched again while the file cannot be read are in it once") {
  Directory directory;
  boost::asio::io_context loop;
  const std::vector<NewRow> rows{{"t", 4, "{}", false, 5, "1.00000/4"}, {"t", 4, "{}", false, 5, "2.00000/4"}};
  {
    JournalFile journal(loop, directory.file());
    journal.store_fetched("4", 2, rows, {});
    CHECK(read(loop, journal, of_token("t")).size() == 2);
  }
  execute(directory.file(), "PRAGMA journal_mode = DELETE");
  auto lock = std::make_unique<Lock>(directory.file());
  JournalFile journal(loop, directory.file());
  auto more = rows;
  more.push_back({"t", 4, "{}", false, 5, "3.00000/4"});
  journal.store_fetched("4", 3, more, {});
  CHECK(read(loop, journal, of_token("t")).size() == 3);
  lock.reset();
  wait_for_file(journal);
  CHECK(read(loop, journal, of_token("t")).size() == 3);
}

TEST_CASE("portions of rows have no gap where part of them is in memory") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  for (int i = 0; i < 25; ++i) journal.write(NewRow{"before", 2, std::to_string(i)});
  CHECK(read(loop, journal, of_token("before")).size() == 25);
  const Lock lock(directory.file());
  for (int i = 25; i < 30; ++i) journal.write(NewRow{"after", 2, std::to_string(i)});
  CHECK(read(loop, journal, of_token("after")).size() == 5);
  CHECK(journal.in_memory());
  std::vector<std::string> seen;
  HistoryFilter filter;
  filter.portion = 10;
  filter.ctime_after = 0;
  for (auto rows = read(loop, journal, filter); !rows.empty(); rows = read(loop, journal, filter)) {
    for (const auto& row : rows) seen.push_back(row.data);
    filter.ctime_after = rows.back().ctime;
  }
  REQUIRE(seen.size() == 30);
  for (int i = 0; i < 30; ++i) CHECK(seen[static_cast<std::size_t>(i)] == std::to_string(i));
}
