#include "core/log_answers.hpp"

#include <catch2/catch.hpp>

#include <optional>

#include "tests/support/loop_agent.hpp"

using namespace gorgone;

namespace {

// Reads are answered when the test wants it.
class SlowJournal : public test::RecordingJournal {
 public:
  std::vector<std::function<void(Result<Rows>)>> asked;
  void read(HistoryFilter, std::function<void(Result<Rows>)> done) override { asked.push_back(std::move(done)); }
};

struct Fixture {
  boost::asio::io_context loop;
  SlowJournal journal;
  std::vector<std::function<void()>> work;  // of the pool
  LogAnswers answers{loop, journal, [this](std::function<void()> job) { work.push_back(std::move(job)); }, [] { return "7"; }};

  void run_work() {
    for (auto& job : std::exchange(work, {})) job();
    loop.restart();
    loop.poll();
  }
};

HistoryFilter whole() {
  HistoryFilter filter;
  filter.ctime_after = 1;
  return filter;
}

Rows rows_of(std::size_t count) {
  HistoryRow row;
  row.id = 3;
  row.token = "t";
  row.data = "{}";
  return Rows(count, row);
}

}  // namespace

TEST_CASE("a short log is told at once, a long one after its text was made on the pool") {
  Fixture test;
  std::string told;
  const auto done = [&told](Result<std::string> text) { told = *text; };
  test.answers.tell(whole(), rows_of(1), {}, done);
  CHECK(told.starts_with(R"({"action":"getlog","result":[{"id":"3","token":"t",)"));
  CHECK(told.ends_with(R"(],"id":"7"})"));
  CHECK(test.work.empty());
  told.clear();
  test.answers.tell(whole(), rows_of(5000), {}, done);
  CHECK(told.empty());
  REQUIRE(test.work.size() == 1);
  test.run_work();
  CHECK(told.size() > 5000 * 50);
}

TEST_CASE("few whole histories are read at once, the others wait until one is told, and too many are busy") {
  Fixture test;
  std::vector<LogAnswers::Place> places;
  int refused = 0;
  const auto done = [&](Result<Rows> rows, LogAnswers::Place place) {
    if (!rows && rows.error().code == "busy") ++refused;
    places.push_back(std::move(place));
  };
  for (std::size_t i = 0; i < LogAnswers::at_once_max + LogAnswers::waiting_max; ++i) test.answers.read(whole(), done);
  CHECK(test.journal.asked.size() == LogAnswers::at_once_max);
  CHECK(refused == 0);
  test.answers.read(whole(), done);
  CHECK(refused == 1);

  auto portion = whole();
  portion.portion = 1000;
  test.answers.read(portion, done);
  CHECK(test.journal.asked.size() == LogAnswers::at_once_max + 1);

  places.clear();
  std::exchange(test.journal.asked.front(), nullptr)(rows_of(5000));
  CHECK(test.journal.asked.size() == LogAnswers::at_once_max + 1);
  test.answers.tell(whole(), rows_of(5000), std::move(places.front()), [](const Result<std::string>&) {});
  CHECK(test.journal.asked.size() == LogAnswers::at_once_max + 1);
  test.run_work();
  CHECK(test.journal.asked.size() == LogAnswers::at_once_max + 2);
}

TEST_CASE("a portion that is full says that there is more") {
  Fixture test;
  std::string told;
  auto filter = whole();
  filter.portion = 2;
  test.answers.tell(filter, rows_of(2), {}, [&told](Result<std::string> text) { told = *text; });
  CHECK(told.ends_with(R"(,"id":"7","more":1})"));
}

TEST_CASE("questions for a token are read some at a time and in their order, however many come together") {
  Fixture test;
  int told = 0;
  HistoryFilter filter;
  filter.token = "t";
  for (int i = 0; i < 500; ++i) test.answers.read(filter, [&](const Result<Rows>&, const LogAnswers::Place&) { ++told; });
  CHECK(test.journal.asked.size() == LogAnswers::others_at_once_max);
  for (std::size_t next = 0; next < test.journal.asked.size(); ++next) {
    const auto answer = std::exchange(test.journal.asked[next], {});
    answer(rows_of(1));
  }
  CHECK(told == 500);
}
