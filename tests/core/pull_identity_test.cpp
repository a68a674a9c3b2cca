#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <filesystem>

#include "core/journal/journal_file.hpp"

using namespace gorgone;
namespace fs = std::filesystem;

namespace {

using Identities = std::map<std::string, std::string>;

// A journal in a directory of its own, which may be missing at first.
struct Fixture {
  Fixture() {
    char name[] = "/tmp/gorgone-identity-XXXXXX";
    base = mkdtemp(name);
  }
  ~Fixture() { fs::remove_all(base); }

  Identities read(JournalFile& journal) {
    std::optional<Identities> found;
    journal.pull_identities([&](Result<Identities> read) { found = std::move(*read); });
    auto work = boost::asio::make_work_guard(loop);
    loop.restart();
    while (!found) loop.run_one();
    return *found;
  }
  void purge(JournalFile& journal) {
    bool done = false;
    journal.purge({}, [&](const Result<Journal::Purged>& purged) { done = purged.has_value(); });
    auto work = boost::asio::make_work_guard(loop);
    loop.restart();
    while (!done) loop.run_one();
  }

  boost::asio::io_context loop;
  fs::path base;
};

StoredSession session_of(const std::string& identity_in_hex) { return {identity_in_hex, "00", "00", {}, {}, 4000000000, 4000000000}; }

}  // namespace

TEST_CASE_METHOD(Fixture, "the session through which a node speaks is kept across a restart, the newest alone") {
  const auto file = (base / "history.sdb").string();
  {
    JournalFile journal(loop, file);
    journal.keep_pull_identity("6", "gorgone-6-a");
    journal.keep_pull_identity("6", "gorgone-6-b");
    journal.keep_pull_identity("7", "gorgone-7-a");
    journal.keep_pull_identity("7", "");
    CHECK(read(journal) == Identities{{"6", "gorgone-6-b"}});
  }
  JournalFile journal(loop, file);
  CHECK(read(journal) == Identities{{"6", "gorgone-6-b"}});
}

TEST_CASE_METHOD(Fixture, "what is forgotten or changed while the file cannot be written is so when it can be again") {
  const auto file = (base / "absent" / "history.sdb").string();
  JournalFile journal(loop, file);
  REQUIRE(journal.in_memory());
  journal.keep_pull_identity("6", "gorgone-6-a");
  journal.keep_pull_identity("6", "");
  journal.keep_pull_identity("7", "gorgone-7-a");
  CHECK(read(journal) == Identities{{"7", "gorgone-7-a"}});
  fs::create_directory(base / "absent");
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (journal.in_memory() && std::chrono::steady_clock::now() < until) read(journal);
  REQUIRE_FALSE(journal.in_memory());
  CHECK(read(journal) == Identities{{"7", "gorgone-7-a"}});
}

TEST_CASE_METHOD(Fixture, "a node whose session was purged is forgotten with it") {
  JournalFile journal(loop, (base / "history.sdb").string());
  journal.save_session(session_of("676f72676f6e652d362d61"));  // gorgone-6-a
  journal.keep_pull_identity("6", "gorgone-6-a");
  journal.keep_pull_identity("7", "gorgone-7-a");
  purge(journal);
  CHECK(read(journal) == Identities{{"6", "gorgone-6-a"}});
}
