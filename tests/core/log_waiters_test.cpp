#include "core/log_waiters.hpp"

#include <sqlite3.h>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <filesystem>
#include <optional>

#include "core/journal/journal_file.hpp"

using namespace gorgone;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  boost::asio::io_context loop;
  JournalFile journal{loop, ":memory:"};
  LogWaiters waiters{loop, journal};
  std::optional<Rows> told;

  void wait(HistoryFilter filter, std::chrono::seconds time) {
    waiters.wait(std::move(filter), time, [this](const Result<Rows>& rows) { told = *rows; });
  }
  void run_until_told(std::chrono::seconds limit) {
    auto work = boost::asio::make_work_guard(loop);
    const auto end = std::chrono::steady_clock::now() + limit;
    loop.restart();
    while (!told && std::chrono::steady_clock::now() < end) loop.run_one_until(end);
  }
};

HistoryFilter after(double ctime) {
  HistoryFilter filter;
  filter.ctime_after = ctime;
  return filter;
}

}  // namespace

TEST_CASE("a question is held until a row is written, and gets it") {
  Fixture test;
  test.wait(after(0), 600s);
  test.journal.write(NewRow{"a", 0, "{}"});
  test.run_until_told(20s);
  REQUIRE(test.told);
  REQUIRE(test.told->size() == 1);
  CHECK(test.told->front().token == "a");
}

TEST_CASE("a question whose time is up gets no rows, and none later") {
  Fixture test;
  test.wait(after(0), 0s);
  test.run_until_told(20s);
  REQUIRE(test.told);
  CHECK(test.told->empty());
}

TEST_CASE("rows that do not fit do not end the wait, and one that comes while they are looked at is not missed") {
  Fixture test;
  auto filter = after(0);
  filter.token = "wanted";
  test.wait(filter, 600s);
  for (int i = 0; i < 50; ++i) test.journal.write(NewRow{"other", 0, "{}"});
  test.journal.write(NewRow{"wanted", 0, "{}"});
  test.run_until_told(20s);
  REQUIRE(test.told);
  REQUIRE(test.told->size() == 1);
  CHECK(test.told->front().token == "wanted");
}

TEST_CASE("nobody is told after the end") {
  Fixture test;
  test.wait(after(0), 600s);
  test.journal.write(NewRow{"a", 0, "{}"});
  test.waiters.clear();
  test.loop.restart();
  test.loop.run_for(50ms);
  CHECK_FALSE(test.told);
}

TEST_CASE("a question whose time is up while its rows are being read does not keep the loop busy, and is answered") {
  char name[] = "/tmp/gorgone-waiters-XXXXXX";
  const std::filesystem::path directory = mkdtemp(name);
  const auto file = (directory / "history.sdb").string();
  {
    boost::asio::io_context loop;
    JournalFile journal(loop, file);
    LogWaiters waiters(loop, journal);
    bool written = false;
    std::optional<Rows> told;
    auto filter = after(0);
    filter.token = "other";
    waiters.wait(std::move(filter), 1s, [&](const Result<Rows>& rows) { told = *rows; });
    std::vector<NewRow> rows{NewRow{"a", 0, "{}"}};
    journal.write(std::move(rows), [&](const Result<void>&) { written = true; });
    // Another program locks the database before the row is looked at.
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &other) == SQLITE_OK);
    sqlite3_busy_timeout(other, 1000);
    const auto count = [&] {
      int number = 0;
      sqlite3_exec(
          other, "SELECT count(*) FROM gorgone_history",
          [](void* to, int, char** texts, char**) {
            *static_cast<int*>(to) = std::atoi(texts[0]);
            return 0;
          },
          &number, nullptr);
      return number;
    };
    while (count() == 0) usleep(1000);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    auto work = boost::asio::make_work_guard(loop);
    CHECK(loop.run_for(1400ms) < 50);
    CHECK(written);
    CHECK_FALSE(told);
    sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
    sqlite3_close(other);
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!told && std::chrono::steady_clock::now() < end) loop.run_one_until(end);
    REQUIRE(told);
    CHECK(told->empty());
  }
  std::filesystem::remove_all(directory);
}
