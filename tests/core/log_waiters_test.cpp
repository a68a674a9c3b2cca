#include "core/log_waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

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
