// The journal where its file is corrupt: what is saved, what is kept aside.
#include "journal_faults_fixture.hpp"

#include <fstream>
#include <random>

using namespace gorgone;
using namespace gorgone::journal_test;

namespace {

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
