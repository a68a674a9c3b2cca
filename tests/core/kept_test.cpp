#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

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

  Kept read(Journal& journal, const std::string& collection) {
    std::optional<Kept> found;
    journal.kept(collection, [&](Result<Kept> records) { found = std::move(*records); });
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
  while (file_journal.in_memory() && std::chrono::steady_clock::now() < until) read(journal, "m.queue");
  REQUIRE_FALSE(file_journal.in_memory());
  CHECK(read(journal, "m.queue") == Kept{{"1", bytes}, {"3", "left"}});
}
