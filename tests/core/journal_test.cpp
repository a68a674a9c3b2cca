#include "journal_fixture.hpp"

#include <gorgone/json.hpp>

#include <csignal>
#include <fstream>
#include <thread>

using namespace gorgone;
using namespace gorgone::journal_test;

TEST_CASE("rows are read back in order, with rising ids and strictly rising ctimes") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  for (int i = 0; i < 100; ++i) journal.write(NewRow{"tok", 100, std::to_string(i)});
  const auto rows = read(loop, journal, of_token("tok"));
  REQUIRE(rows.size() == 100);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    CHECK(rows[i].data == std::to_string(i));
    CHECK(rows[i].id > rows[i - 1].id);
    CHECK(rows[i].ctime > rows[i - 1].ctime);
  }
  CHECK(rows[0].etime > 1700000000);
}

TEST_CASE("each filter of GETLOG holds, and limit takes the newest") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  journal.write(NewRow{"a", 0, "1", false, 1000});
  journal.write(NewRow{"a", 2, "2", true, 2000});
  journal.write(NewRow{"b", 2, "3", false, 3000});
  HistoryFilter filter;
  filter.code = 2;
  CHECK(read(loop, journal, filter).size() == 2);
  filter.limit = 1;
  auto rows = read(loop, journal, filter);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].data == "3");
  filter = {};
  filter.etime_after = 1000;
  CHECK(read(loop, journal, filter).size() == 2);
  filter = {};
  filter.ctime_after = rows[0].ctime;
  CHECK(read(loop, journal, filter).empty());
  filter = {};
  filter.id_after = 1;
  rows = read(loop, journal, filter);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].instant);
  CHECK_FALSE(rows[1].instant);
}

TEST_CASE("rows, sessions and fingerprints survive a restart") {
  Directory directory;
  boost::asio::io_context loop;
  {
    JournalFile journal(loop, directory.file());
    journal.write(NewRow{"tok", 2, "{}"});
    journal.save_session({"67", "aa", "bb", "cc", "dd", 10, 20});
    journal.pin_fingerprint("tcp://a:1", "thumb", {});
    journal.pin_fingerprint("tcp://a:1", "thumb2", {});
    journal.store_fetched("7", 1795313965.76488, {NewRow{"far", 2, "{}"}}, {});
  }
  JournalFile journal(loop, directory.file());
  CHECK(read(loop, journal, of_token("tok")).size() == 1);
  CHECK(read(loop, journal, of_token("far")).size() == 1);
  const auto sessions = wait<std::vector<StoredSession>>(loop, [&](auto done) { journal.sessions(done); });
  REQUIRE(sessions.size() == 1);
  CHECK(sessions[0].oldkey == "cc");
  CHECK(sessions[0].mtime == 20);
  const auto pinned = wait<std::optional<std::string>>(loop, [&](auto done) { journal.fingerprint_of("tcp://a:1", done); });
  CHECK(pinned == std::optional<std::string>("thumb2"));
  CHECK(wait<double>(loop, [&](auto done) { journal.fetched_until("7", done); }) == 1795313965.76488);
  CHECK(wait<double>(loop, [&](auto done) { journal.fetched_until("8", done); }) == 0);
}

TEST_CASE("a deployed daemon's older file opens with its rows and gets the columns it lacks") {
  Directory directory;
  execute(directory.file(), R"(
    CREATE TABLE gorgone_identity (id INTEGER PRIMARY KEY, ctime INTEGER, identity TEXT, key TEXT, parent INTEGER DEFAULT 0);
    CREATE TABLE gorgone_history (id INTEGER PRIMARY KEY, token TEXT, code INTEGER, etime INTEGER, ctime FLOAT, instant INTEGER DEFAULT 0, data TEXT);
    INSERT INTO gorgone_identity (ctime, identity, key) VALUES (5, '67', 'aa');
    INSERT INTO gorgone_history (token, code, etime, ctime, data) VALUES ('old', 2, 1700000000, 1700000000.5, '{"a":1}');)");
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  CHECK_FALSE(journal.in_memory());
  const auto rows = read(loop, journal, of_token("old"));
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].data == R"({"a":1})");
  const auto sessions = wait<std::vector<StoredSession>>(loop, [&](auto done) { journal.sessions(done); });
  REQUIRE(sessions.size() == 1);
  CHECK(sessions[0].iv.empty());
  CHECK(sessions[0].mtime == 5);
}

TEST_CASE("new ctimes stay above those in the file although the clock was set back") {
  Directory directory;
  boost::asio::io_context loop;
  { JournalFile journal(loop, directory.file()); }
  execute(directory.file(), "INSERT INTO gorgone_history (token, code, etime, ctime, data) VALUES ('future', 2, 1, 4000000000.0, '')");
  JournalFile journal(loop, directory.file());
  journal.write(NewRow{"now", 2, "{}"});
  const auto rows = read(loop, journal, of_token("now"));
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].ctime > 4000000000.0);
}

TEST_CASE("a corrupt file is kept aside and the journal starts with an empty one") {
  Directory directory;
  std::ofstream(directory.file()) << std::string(10000, 'x');
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  CHECK_FALSE(journal.in_memory());
  journal.write(NewRow{"tok", 2, "{}"});
  CHECK(read(loop, journal, of_token("tok")).size() == 1);
  bool kept = false;
  for (const auto& entry : fs::directory_iterator(fs::path(directory.file()).parent_path()))
    kept = kept || entry.path().filename().string().starts_with("history.sdb.corrupt-");
  CHECK(kept);
}

TEST_CASE("a journal whose directory is missing goes on in memory") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file("absent/history.sdb"));
  CHECK(journal.in_memory());
  journal.write(NewRow{"tok", 2, "{}"});
  CHECK(read(loop, journal, of_token("tok")).size() == 1);
}

TEST_CASE("on a full disk rows go to memory, are read together with those of the file, and are in the file when there is room again") {
  Directory directory;
  boost::asio::io_context loop;
  std::signal(SIGXFSZ, SIG_IGN);
  JournalFile journal(loop, directory.file());
  journal.write(NewRow{"tok", 0, "before"});
  CHECK(read(loop, journal, of_token("tok")).size() == 1);
  {
    FileSizeLimit full(1);
    journal.write(NewRow{"tok", 100, "meanwhile"});
    journal.pin_fingerprint("tcp://a:1", "thumb", {});
    const auto rows = read(loop, journal, of_token("tok"));
    REQUIRE(rows.size() == 2);
    CHECK(journal.in_memory());
    CHECK(rows[1].data == "meanwhile");
    CHECK(rows[1].id > rows[0].id);
    HistoryFilter newest = of_token("tok");
    newest.limit = 1;
    CHECK(read(loop, journal, newest).at(0).data == "meanwhile");
  }
  for (int i = 0; i < 100 && journal.in_memory(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK_FALSE(journal.in_memory());
  journal.write(NewRow{"tok", 2, "after"});
  read(loop, journal, of_token("tok"));
  journal.close();
  JournalFile again(loop, directory.file());
  const auto rows = read(loop, again, of_token("tok"));
  REQUIRE(rows.size() == 3);
  CHECK(rows[1].data == "meanwhile");
  CHECK(rows[2].ctime > rows[1].ctime);
  CHECK(wait<std::optional<std::string>>(loop, [&](auto done) { again.fingerprint_of("tcp://a:1", done); }) ==
        std::optional<std::string>("thumb"));
}

TEST_CASE("a watch sees the rows of its token until it ends, and one callback may end another watch") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  int mine = 0, all = 0, ended = 0;
  std::shared_ptr<void> other;
  auto watch = journal.watch("tok", [&](const HistoryRow&) {
    ++mine;
    other.reset();
  });
  other = journal.watch("tok", [&](const HistoryRow&) { ++ended; });
  auto every = journal.watch("", [&](const HistoryRow&) { ++all; });
  journal.write(NewRow{"tok", 0, ""});
  journal.write(NewRow{"else", 0, ""});
  read(loop, journal, of_token("tok"));
  watch.reset();
  journal.write(NewRow{"tok", 0, ""});
  read(loop, journal, of_token("tok"));
  CHECK(mine == 1);
  CHECK(ended == 0);
  CHECK(all == 3);
}

TEST_CASE("purging deletes what is old and keeps the rest") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  journal.write(NewRow{"kept", 2, ""});
  journal.write(NewRow{"instant", 2, "", true});
  journal.save_session({"67", "aa", "bb", "", "", 10, 100});
  journal.save_session({"68", "aa", "bb", "", "", 10, 2000000000});
  journal.note_refused_key("tcp://10.0.0.2:5556", "2", "thumbprint");
  const auto refused_keys = [&directory] { return Tables(directory.file()).refused_keys().size(); };
  const auto purged = wait<Journal::Purged>(loop, [&](auto done) { journal.purge({1000, 1000, 4000000000, 0, 1000}, done); });
  CHECK(purged.sessions == 1);
  CHECK(purged.rows == 1);
  CHECK(read(loop, journal, of_token("kept")).size() == 1);
  CHECK(refused_keys() == 1);
  wait<Journal::Purged>(loop, [&](auto done) { journal.purge({0, 0, 0, 0, 4000000000}, done); });
  CHECK(refused_keys() == 0);
}

TEST_CASE("a row that is fetched a second time is not stored, and one that says the same but is another is") {
  Directory directory;
  boost::asio::io_context loop;
  const auto row = [](const char* origin, bool unless_known = false) { return NewRow{"t", 4, "{}", false, 5, origin, unless_known}; };
  const auto fetch = [&](JournalFile& journal, const char* by, std::vector<NewRow> rows) {
    journal.store_fetched(by, 1, std::move(rows), {});
    auto filter = of_token("t");
    filter.with_origins = true;
    return read(loop, journal, filter);
  };
  {
    JournalFile journal(loop, directory.file());
    CHECK(fetch(journal, "3", {row("1.00000/4"), row("2.00000/4")}).size() == 2);
    CHECK(fetch(journal, "5", {row("1.00000/4"), row("2.00000/4"), row("3.00000/4")}).size() == 3);
    CHECK(fetch(journal, "3", {row(""), row("")}).size() == 5);
  }
  JournalFile journal(loop, directory.file());
  CHECK(fetch(journal, "5", {row("2.00000/4"), row("3.00000/4")}).size() == 5);
  const auto rows = fetch(journal, "7", {row("2.00000/6")});
  REQUIRE(rows.size() == 6);
  CHECK(rows[1].origin == "2.00000/4");
  CHECK(rows[3].origin.empty());
  // Of a journal that is fetched from its beginning: what is known by its origin, or was stored before there were any.
  CHECK(fetch(journal, "5", {row("3.00000/4", true), row("9.00000/4", true)}).size() == 6);
}

TEST_CASE("a journal that is fetched from its beginning brings rows that look like others of a known origin") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  for (const auto* origin : {"1.00000/4", "2.00000/4"}) journal.store_fetched("4", 1, {NewRow{"t", 4, "{}", false, 5, origin, true}}, {});
  CHECK(read(loop, journal, of_token("t")).size() == 2);
}

TEST_CASE("the origin of a row that is purged goes with it, whoever deletes the row") {
  Directory directory;
  boost::asio::io_context loop;
  JournalFile journal(loop, directory.file());
  const auto fetch = [&] { journal.store_fetched("4", 1, {NewRow{"t", 4, "{}", false, 5, "1.00000/4"}}, {}); };
  fetch();
  CHECK(read(loop, journal, of_token("t")).size() == 1);
  execute(directory.file(), "DELETE FROM gorgone_history");
  fetch();
  CHECK(read(loop, journal, of_token("t")).size() == 1);
}

TEST_CASE("origins are told where they are wished for") {
  const Rows rows{{7, "t", 2, 5, 6.5, false, "{}", "1.50000/4"}, {8, "t", 2, 5, 7.5, false, "{}", ""}};
  CHECK(rows_to_json(rows).find("origin") == std::string::npos);
  CHECK(rows_to_json(rows, true) ==
        R"([{"id":"7","token":"t","code":2,"etime":5,"ctime":6.50000,"instant":0,"data":"{}","origin":"1.50000/4"},)"
        R"({"id":"8","token":"t","code":2,"etime":5,"ctime":7.50000,"instant":0,"data":"{}"}])");
}

TEST_CASE("rows are told to the API with ids as text and five decimals") {
  const Rows rows{{7, "t", 100, 1795313965, 1795313965.76488, false, R"({"a":"ä"})", {}}};
  CHECK(rows_to_json(rows) ==
        R"([{"id":"7","token":"t","code":100,"etime":1795313965,"ctime":1795313965.76488,"instant":0,"data":"{\"a\":\"ä\"}"}])");
  CHECK(rows_to_json({}) == "[]");
}

TEST_CASE("a token ends with code 1 or 2, but not with the message of a single step") {
  auto row = [](int code, const char* message) {
    HistoryRow made;
    made.code = code;
    made.data = std::string(R"({"message":")") + message + "\"}";
    return made;
  };
  CHECK(ends_token(row(2, "commands processing has finished successfully")));
  CHECK(ends_token(row(1, "expected array, found 'HASH'")));
  CHECK_FALSE(ends_token(row(1, "command execution issue")));
  CHECK_FALSE(ends_token(row(2, "command has been submitted")));
  CHECK_FALSE(ends_token(row(0, "commands processing has started")));
  CHECK_FALSE(ends_token(row(100, "command has finished successfully")));
}
