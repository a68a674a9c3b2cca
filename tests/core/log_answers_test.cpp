#include "core/log_answers.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>
#include <set>

#include "journal_fixture.hpp"
#include "tests/support/loop_agent.hpp"

using namespace gorgone;

namespace {

constexpr std::size_t bytes_max = std::size_t{1} << 20;

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
  LogAnswers answers{loop, journal, [this](std::function<void()> job) { work.push_back(std::move(job)); }, [] { return "7"; }, bytes_max};

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

TEST_CASE("a caller's own text is made on the pool where it is long, and knows whether the bound was reached") {
  Fixture test;
  std::string told;
  const auto write = [](const Rows& rows, bool has_more) { return std::to_string(rows.size()) + (has_more ? " and more" : ""); };
  const auto done = [&told](Result<std::string> text) { told = *text; };
  HistoryFilter filter;
  filter.token = "t";
  test.answers.tell(filter, rows_of(3), {}, write, done);
  CHECK(told == "3");
  test.answers.tell(filter, rows_of(5000), {}, write, done);
  CHECK(told == "3");
  test.run_work();
  CHECK(told == "5000 and more");
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
  std::exchange(test.journal.asked.front(), nullptr)(rows_of(500));
  CHECK(test.journal.asked.size() == LogAnswers::at_once_max + 1);
  test.answers.tell(whole(), rows_of(500), std::move(places.front()), [](const Result<std::string>&) {});
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

namespace {

// A history as deployed daemons leave them: several rows of one ctime, and ids in another order.
struct OldHistory {
  static constexpr int count = 10000, of_a_ctime = 7;
  journal_test::Directory directory;
  boost::asio::io_context loop;
  JournalFile journal{loop, directory.file()};
  LogAnswers answers{loop, journal, [](const std::function<void()>& job) { job(); }, [] { return "7"; }, bytes_max};

  OldHistory() {
    journal_test::read(loop, journal, whole());  // the file is there
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open(directory.file().c_str(), &database) == SQLITE_OK);
    const auto sql =
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(count - 1) +
        ") INSERT INTO gorgone_history (id, token, code, etime, ctime, instant, data) SELECT 1 + (i + 5000) % 10000, 't', 2, 1, "
        "1000 + i / " +
        std::to_string(of_a_ctime) + " * 0.00001, 0, i FROM n";
    CHECK(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(database);
  }

  Rows ask(const HistoryFilter& filter, bool& has_more) {
    std::optional<Rows> rows;
    std::string text;
    answers.read(filter, [&](Result<Rows> read, LogAnswers::Place place) {
      REQUIRE(read.has_value());
      rows = *read;
      answers.tell(filter, std::move(read), std::move(place), [&](Result<std::string> told) { text = *told; });
    });
    auto work = boost::asio::make_work_guard(loop);
    loop.restart();
    while (text.empty()) loop.run_one();
    has_more = text.ends_with(R"(,"more":1})");
    return *rows;
  }

  // What one gets who asks on from what came; how many questions it took.
  int fetch_all(HistoryFilter filter, bool by_id, std::multiset<std::string>& seen) {
    for (int questions = 1;; ++questions) {
      REQUIRE(questions < count);
      bool has_more = false;
      const auto rows = ask(filter, has_more);
      CHECK(rows.size() * 300 < 2 * bytes_max);
      CHECK(std::ranges::is_sorted(rows, {}, &HistoryRow::id));
      for (const auto& row : rows) seen.insert(row.data);
      CHECK(has_more == (rows.size() * 300 > bytes_max));
      if (!has_more) return questions;
      if (by_id)
        filter.id_after = rows.back().id;
      else
        filter.ctime_after = std::ranges::max_element(rows, {}, &HistoryRow::ctime)->ctime;
    }
  }
};

}  // namespace

TEST_CASE("of a log without end as much is told as the bound allows, and who asks on gets each row once") {
  OldHistory history;
  auto by_code = HistoryFilter();
  by_code.code = 2;
  auto by_id = HistoryFilter();
  by_id.id_after = 0;
  auto by_token = HistoryFilter();
  by_token.token = "t";
  for (const auto& filter : {whole(), by_code, by_id, by_token}) {
    std::multiset<std::string> seen;
    const int questions = history.fetch_all(filter, filter.id_after.has_value(), seen);
    CHECK(questions > 2);
    CHECK(seen.size() == OldHistory::count);
    CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == OldHistory::count);
  }
}

TEST_CASE("a portion does not end between rows of one ctime") {
  OldHistory history;
  auto filter = whole();
  filter.portion = OldHistory::of_a_ctime + 1;
  CHECK(journal_test::read(history.loop, history.journal, filter).size() == 2 * OldHistory::of_a_ctime);
}
