#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "core/journal/journal_file.hpp"

using namespace gorgone;
namespace fs = std::filesystem;

namespace {

struct Fixture {
  Fixture() {
    std::string pattern = (fs::temp_directory_path() / "gorgone-kept-XXXXXX").string();
    base = mkdtemp(pattern.data());
  }
  ~Fixture() { fs::remove_all(base); }

  Kept read(Journal& journal, const std::string& collection, KeptRange range = {}) {
    std::optional<Kept> found;
    journal.kept(
        collection, [&](Result<Kept> records) { found = std::move(*records); }, std::move(range));
    loop.restart();
    while (!found) loop.run_one();
    return *found;
  }

  boost::asio::io_context loop;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{loop.get_executor()};
  fs::path base;
};

const std::string bytes{"a\0b\xff", 4};

}  // namespace

TEST_CASE_METHOD(Fixture, "records of a module outlive the journal, byte by byte, the newest of a key alone") {
  const auto file = (base / "history.sdb").string();
  {
    JournalFile file_journal(loop, file);
    Journal& journal = file_journal;
    journal.keep("m.queue", "2", "old");
    journal.keep("m.queue", "2", bytes);
    journal.keep("m.queue", "1", "");
    journal.keep("m.queue", "3", "x");
    journal.drop_kept("m.queue", "3");
    journal.keep("m.other", "1", "other");
  }
  JournalFile file_journal(loop, file);
  Journal& journal = file_journal;
  CHECK(read(journal, "m.queue") == Kept{{"1", ""}, {"2", bytes}});
  CHECK(read(journal, "m.other") == Kept{{"1", "other"}});
  CHECK(read(journal, "m.none").empty());
}

TEST_CASE_METHOD(Fixture, "records kept and dropped while the file cannot be written are so when it can be again") {
  const auto file = (base / "absent" / "history.sdb").string();
  JournalFile file_journal(loop, file);
  Journal& journal = file_journal;
  REQUIRE(file_journal.in_memory());
  journal.keep("m.queue", "1", bytes);
  journal.keep("m.queue", "2", "x");
  journal.drop_kept("m.queue", "2");
  CHECK(read(journal, "m.queue") == Kept{{"1", bytes}});
  fs::create_directory(base / "absent");
  {
    // What lay in the file and is dropped in memory stays dropped.
    Tables there(file);
    there.keep("m.queue", "2", "left");
    there.keep("m.queue", "3", "left");
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (file_journal.in_memory() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  REQUIRE_FALSE(file_journal.in_memory());
  CHECK(read(journal, "m.queue") == Kept{{"1", bytes}, {"3", "left"}});
}

TEST_CASE_METHOD(Fixture, "a part of a collection is read in the order of its keys, as many as asked for and not many bytes at once") {
  JournalFile file_journal(loop, (base / "history.sdb").string());
  Journal& journal = file_journal;
  for (const char* key : {"a 1", "a 2", "a 3", "b 1"}) journal.keep("m.queue", key, key);
  journal.keep("m.large", "1", std::string(KeptRange::portion_bytes, 'x'));
  journal.keep("m.large", "2", "y");
  CHECK(read(journal, "m.queue", {"a ", "a!", 2}) == Kept{{"a 1", "a 1"}, {"a 2", "a 2"}});
  CHECK(read(journal, "m.queue", {"a 3", "a!", 2}) == Kept{{"a 3", "a 3"}});
  CHECK(read(journal, "m.queue", {"a 3", "", 0}) == Kept{{"a 3", "a 3"}, {"b 1", "b 1"}});
  CHECK(read(journal, "m.queue", {"c", "", 2}).empty());
  CHECK(read(journal, "m.large", {"", "", 10}).size() == 1);
  CHECK(read(journal, "m.large").size() == 2);
}

TEST_CASE_METHOD(Fixture, "a part of a collection of which some lies in memory and some in the file misses nothing") {
  const auto directory = base / "absent";
  const auto file = (directory / "history.sdb").string();
  {
    fs::create_directory(directory);
    Tables there(file);
    for (const char* key : {"1", "2", "3", "6"}) there.keep("m.queue", key, "file");
  }
  // A lock of another program: the file can be read and not written.
  Tables other(file);
  other.begin();
  JournalFile file_journal(loop, file);
  Journal& journal = file_journal;
  for (const char* key : {"1", "2", "3"}) journal.drop_kept("m.queue", key);
  for (const char* key : {"4", "5", "6"}) journal.keep("m.queue", key, "memory");
  REQUIRE(read(journal, "m.queue", {"", "", 2}) == Kept{{"4", "memory"}});
  CHECK(file_journal.in_memory());
  CHECK(read(journal, "m.queue", {"5", "", 2}) == Kept{{"5", "memory"}, {"6", "memory"}});
  other.rollback();
}
