// The journal while its file cannot be used: what is kept, what is bounded, what is told at the end.
#include "journal_fixture.hpp"

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>

using namespace gorgone;
using namespace gorgone::journal_test;

namespace {

/// Another program that keeps the file locked while the object lives.
class Lock {
 public:
  explicit Lock(const std::string& file) {
    REQUIRE(sqlite3_open(file.c_str(), &database_) == SQLITE_OK);
    REQUIRE(sqlite3_exec(database_, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) == SQLITE_OK);
  }
  ~Lock() { sqlite3_close(database_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  sqlite3* database_ = nullptr;
};

StoredMessage message(const std::string& delivery, std::size_t bytes = 10) {
  return {delivery, "COMMAND", "token", "2", std::string(bytes, 'x'), 4000000000};
}

std::optional<Error> store(boost::asio::io_context& loop, JournalFile& journal, const StoredMessage& what) {
  std::optional<Result<bool>> stored;
  journal.store_outgoing(what, false, [&](const Result<bool>& result) { stored = result; });
  auto work = boost::asio::make_work_guard(loop);
  loop.restart();
  while (!stored) loop.run_one();
  if (*stored) return {};
  return stored->error();
}

std::vector<StoredMessage> outgoing(boost::asio::io_context& loop, JournalFile& journal) {
  return wait<std::vector<StoredMessage>>(loop, [&](auto done) { journal.outgoing(done); });
}

std::optional<Error> refusal_of_outgoing(boost::asio::io_context& loop, JournalFile& journal) {
  std::optional<Result<std::vector<StoredMessage>>> answer;
  journal.outgoing([&](Result<std::vector<StoredMessage>> list) { answer.emplace(std::move(list)); });
  auto work = boost::asio::make_work_guard(loop);
  loop.restart();
  while (!answer) loop.run_one();
  if (*answer) return {};
  return answer->error();
}

/// A file that is sound, and beside it one that was put aside with a message in its outbox, as a daemon leaves them that ends in between.
void leave_to_be_saved(boost::asio::io_context& loop, const std::string& file, const std::string& delivery) {
  const auto aside = file + ".corrupt-1";
  {
    JournalFile journal(loop, file);
    CHECK_FALSE(store(loop, journal, message(delivery)));
  }
  fs::rename(file, aside);
  { JournalFile journal(loop, file); }
  const auto note = "INSERT INTO gorgone_information VALUES ('gorgone_salvage', '" + aside + "')";
  execute(file, note.c_str());
}

void wait_for_file(const JournalFile& journal) {
  for (int i = 0; i < 100 && journal.in_memory(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK_FALSE(journal.in_memory());
}

/// Overwrites all pages that begin a table or its indices.
void spoil(const std::string& file, const std::string& table) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
  std::vector<long> pages;
  auto add = [](void* list, int, char** values, char**) {
    static_cast<std::vector<long>*>(list)->push_back(std::stol(values[0]));
    return 0;
  };
  const auto sql = "SELECT rootpage FROM sqlite_master WHERE rootpage > 0 AND tbl_name = '" + table + "'";
  REQUIRE(sqlite3_exec(database, sql.c_str(), add, &pages, nullptr) == SQLITE_OK);
  sqlite3_close(database);
  REQUIRE_FALSE(pages.empty());
  std::mt19937 draw(1);
  std::fstream content(file, std::ios::in | std::ios::out | std::ios::binary);
  for (const auto page : pages) {
    content.seekp((page - 1) * 4096);
    for (int i = 0; i < 4096; ++i) content.put(static_cast<char>(draw()));
  }
}

}  // namespace

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

TEST_CASE("of a file with noise in the history the messages, sessions, pinned keys and records are saved") {
  Directory directory;
  {
    boost::asio::io_context loop;
    JournalFile journal(loop, directory.file());
    for (int i = 0; i < 100; ++i) CHECK_FALSE(store(loop, journal, message("out" + std::to_string(i))));
    journal.store_incoming(message("in"), [](const Result<bool>&) {});
    journal.write(NewRow{"tok", 2, "{}"});
    journal.save_session({"67", "aa", "bb", "cc", "dd", 10, 20});
    journal.pin_fingerprint("tcp://a:1", "thumb", {});
    journal.keep("module.things", "key", std::string("a\0b", 3), {});
    journal.keep_pull_identity("7", "id");
  }
  spoil(directory.file(), "gorgone_history");
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  CHECK_FALSE(journal.in_memory());
  const auto messages = outgoing(loop, journal);
  REQUIRE(messages.size() == 100);
  for (std::size_t i = 0; i < messages.size(); ++i) CHECK(messages[i].delivery == "out" + std::to_string(i));
  CHECK(messages[0].data == std::string(10, 'x'));
  const auto known = wait<bool>(loop, [&](auto done) { journal.store_incoming(message("in"), done); });
  CHECK_FALSE(known);
  CHECK(wait<std::vector<StoredSession>>(loop, [&](auto done) { journal.sessions(done); }).size() == 1);
  const auto pinned = wait<std::optional<std::string>>(loop, [&](auto done) { journal.fingerprint_of("tcp://a:1", done); });
  CHECK(pinned == std::optional<std::string>("thumb"));
  const auto kept = wait<Kept>(loop, [&](auto done) { journal.kept("module.things", done); });
  CHECK(kept == Kept{{"key", std::string("a\0b", 3)}});
  CHECK(wait<std::map<std::string, std::string>>(loop, [&](auto done) { journal.pull_identities(done); }).size() == 1);
  journal.write(NewRow{"tok", 2, "{}"});
  CHECK(read(loop, journal, of_token("tok")).size() == 1);
}

TEST_CASE("a table that cannot be read costs none of the others") {
  Directory directory;
  {
    boost::asio::io_context loop;
    JournalFile journal(loop, directory.file());
    CHECK_FALSE(store(loop, journal, message("one")));
    journal.pin_fingerprint("tcp://a:1", "thumb", {});
  }
  spoil(directory.file(), "gorgone_history");
  spoil(directory.file(), "gorgone_target_fingerprint");
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  CHECK(outgoing(loop, journal).size() == 1);
  CHECK(wait<std::optional<std::string>>(loop, [&](auto done) { journal.fingerprint_of("tcp://a:1", done); }) == std::nullopt);
}

TEST_CASE("corruption that shows while the journal runs costs no message either") {
  Directory directory;
  boost::asio::io_context loop;
  {
    JournalFile journal(loop, directory.file());
    CHECK_FALSE(store(loop, journal, message("one")));
    journal.write(NewRow{"tok", 2, "{}"});
  }
  JournalFile journal(loop, directory.file());
  CHECK_FALSE(store(loop, journal, message("two")));
  execute(directory.file(), "PRAGMA wal_checkpoint(TRUNCATE)");
  spoil(directory.file(), "gorgone_refused_key");
  spoil(directory.file(), "gorgone_history");
  execute(directory.file(), "INSERT INTO gorgone_information VALUES ('changed', 'by another')");  // so that no page is taken from a cache
  journal.write(NewRow{"tok", 2, "{}"});
  CHECK(outgoing(loop, journal).size() == 2);
  CHECK_FALSE(journal.in_memory());
  CHECK(read(loop, journal, of_token("tok")).size() == 1);
}

namespace {

std::vector<std::string> kept_aside(const Directory& directory) {
  std::vector<std::string> kept;
  for (const auto& entry : fs::directory_iterator(fs::path(directory.file()).parent_path()))
    if (const auto name = entry.path().string();
        name.starts_with(directory.file() + ".corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm"))
      kept.push_back(name);
  std::ranges::sort(kept);
  return kept;
}

}  // namespace

TEST_CASE("a disk that spoils each new file is given one at once and the next ones later, and nothing is lost by that") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  CHECK_FALSE(store(loop, journal, message("one")));
  const auto spoil_it = [&] {
    execute(directory.file(), "PRAGMA wal_checkpoint(TRUNCATE)");
    spoil(directory.file(), "gorgone_refused_key");
    spoil(directory.file(), "gorgone_history");
    execute(directory.file(), "INSERT INTO gorgone_information VALUES ('changed', 'by another')");
    journal.write(NewRow{"tok", 2, "{}"});
    read(loop, journal, of_token("tok"));
  };
  spoil_it();
  CHECK_FALSE(journal.in_memory());
  CHECK(kept_aside(directory).size() == 1);
  spoil_it();
  CHECK(journal.in_memory());
  CHECK(kept_aside(directory).size() == 1);
  CHECK_FALSE(store(loop, journal, message("two")));
  wait_for_file(journal);
  CHECK(kept_aside(directory).size() == 2);
  CHECK(outgoing(loop, journal).size() == 2);
}

TEST_CASE("of corrupt files no more than ten are kept, the first ones among them") {
  Directory directory;
  boost::asio::io_context loop;
  std::vector<std::string> first;
  for (int i = 0; i < 13; ++i) {
    std::ofstream(directory.file(), std::ios::binary) << "SQLite format 3" << std::string(5000, static_cast<char>('a' + i));
    JournalFile journal(loop, directory.file());
    CHECK(read(loop, journal, of_token("tok")).empty());
    if (i == 8) first = kept_aside(directory);
  }
  const auto kept = kept_aside(directory);
  REQUIRE(kept.size() == 10);
  REQUIRE(first.size() == 9);
  CHECK(std::equal(first.begin(), first.end(), kept.begin()));
  std::ifstream newest(kept.back(), std::ios::binary);
  CHECK(std::string(std::istreambuf_iterator<char>(newest), {}).back() == 'm');
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

TEST_CASE("what waits for a disk that hangs is bounded, and what comes beyond it is refused as busy") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  read(loop, journal, of_token("none"));
  // Two seconds of patience with a lock: nothing runs meanwhile, as when a disk does not answer.
  const Lock lock(directory.file());
  int stored = 0, busy = 0, other = 0;
  auto count = [&](const Result<bool>& result) { ++(result ? stored : result.error().code == "busy" ? busy : other); };
  for (int i = 0; i < 80; ++i) journal.store_outgoing(message(std::to_string(i), 1 << 20), false, count);
  journal.forget_outgoing("0", {});  // takes no room: never refused
  loop.restart();
  auto work = boost::asio::make_work_guard(loop);
  while (stored + busy + other < 80) loop.run_one();
  CHECK(busy >= 16);
  CHECK(stored >= 60);
  CHECK(other == 0);
}

TEST_CASE("rows of other nodes that wait for a disk that hangs are bounded too") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  read(loop, journal, of_token("none"));
  const Lock lock(directory.file());
  int stored = 0, busy = 0, other = 0;
  auto count = [&](const Result<void>& result) { ++(result ? stored : result.error().code == "busy" ? busy : other); };
  for (int i = 0; i < 80; ++i) journal.store_fetched("2", i, {NewRow{"token", 2, std::string(1 << 20, 'x')}}, count);
  journal.give_up_outgoing("0", NewRow{"given up", 1, "{}"});  // never refused
  loop.restart();
  auto work = boost::asio::make_work_guard(loop);
  while (stored + busy + other < 80) loop.run_one();
  CHECK(busy >= 16);
  CHECK(stored >= 60);
  CHECK(other == 0);
  CHECK(read(loop, journal, of_token("given up")).size() == 1);
}

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

TEST_CASE("what was to be saved from a corrupt file when the daemon was stopped is saved at the next start, once") {
  Directory directory;
  boost::asio::io_context loop;
  const auto file = directory.file();
  leave_to_be_saved(loop, file, "before");
  {
    JournalFile journal(loop, file);
    REQUIRE(outgoing(loop, journal).size() == 1);
    CHECK(outgoing(loop, journal).front().delivery == "before");
    journal.give_up_outgoing("before", NewRow{"token", 1, "{}"});
    CHECK_FALSE(store(loop, journal, message("after")));
  }
  JournalFile journal(loop, file);
  REQUIRE(outgoing(loop, journal).size() == 1);
  CHECK(outgoing(loop, journal).front().delivery == "after");
}
