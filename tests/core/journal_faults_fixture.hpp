#pragma once
// What the tests of the journal with a file that cannot be used share.

#include <algorithm>
#include <thread>

#include "journal_fixture.hpp"

namespace gorgone::journal_test {

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

inline StoredMessage message(const std::string& delivery, std::size_t bytes = 10) {
  return {delivery, "COMMAND", "token", "2", std::string(bytes, 'x'), 4000000000};
}

inline std::optional<Error> store(boost::asio::io_context& loop, JournalFile& journal, const StoredMessage& what) {
  std::optional<Result<bool>> stored;
  journal.store_outgoing(what, false, [&](const Result<bool>& result) { stored = result; });
  auto work = boost::asio::make_work_guard(loop);
  loop.restart();
  while (!stored) loop.run_one();
  if (*stored) return {};
  return stored->error();
}

inline std::vector<StoredMessage> outgoing(boost::asio::io_context& loop, JournalFile& journal) {
  return wait<std::vector<StoredMessage>>(loop, [&](auto done) { journal.outgoing(done); });
}

inline std::optional<Error> refusal_of_outgoing(boost::asio::io_context& loop, JournalFile& journal) {
  std::optional<Result<std::vector<StoredMessage>>> answer;
  journal.outgoing([&](Result<std::vector<StoredMessage>> list) { answer.emplace(std::move(list)); });
  auto work = boost::asio::make_work_guard(loop);
  loop.restart();
  while (!answer) loop.run_one();
  if (*answer) return {};
  return answer->error();
}

inline void wait_for_file(const JournalFile& journal) {
  for (int i = 0; i < 100 && journal.in_memory(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK_FALSE(journal.in_memory());
}

/// A file that is sound, and beside it one that was put aside with a message in its outbox, as a daemon leaves them that ends in between.
inline void leave_to_be_saved(boost::asio::io_context& loop, const std::string& file, const std::string& delivery) {
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

}  // namespace gorgone::journal_test
