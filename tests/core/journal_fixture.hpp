#pragma once
// What the tests of the journal share: a directory, a loop that runs until an answer has come, another program with the same file.

#include "core/journal/journal_file.hpp"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <filesystem>
#include <string>

namespace gorgone::journal_test {

namespace fs = std::filesystem;

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/gorgone-journal-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Directory() { fs::remove_all(path_); }
  std::string file(const char* name = "history.sdb") const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

// The largest file of this process, as long as the object lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

// Runs the loop until `done` was called.
template <class T>
inline T wait(boost::asio::io_context& loop, const std::function<void(std::function<void(Result<T>)>)>& ask) {
  std::optional<Result<T>> result;
  ask([&](Result<T> got) { result.emplace(std::move(got)); });
  auto work = boost::asio::make_work_guard(loop);
  loop.restart();
  while (!result) loop.run_one();
  REQUIRE(result->has_value());
  return std::move(**result);
}

inline Rows read(boost::asio::io_context& loop, JournalFile& journal, HistoryFilter filter) {
  return wait<Rows>(loop, [&](auto done) { journal.read(filter, done); });
}

inline void execute(const std::string& file, const char* sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
  char* error = nullptr;
  sqlite3_exec(database, sql, nullptr, nullptr, &error);
  INFO((error ? error : ""));
  CHECK(error == nullptr);
  sqlite3_close(database);
}

inline HistoryFilter of_token(const char* token) {
  HistoryFilter filter;
  filter.token = token;
  return filter;
}

}  // namespace gorgone::journal_test
