#include "core/deliveries.hpp"

#include <catch2/catch.hpp>

#include <ctime>

#include "core/journal/journal_file.hpp"

using namespace gorgone;

namespace {

struct Taking {
  boost::asio::io_context loop;
  JournalFile journal{loop, ":memory:"};
  Router router{journal};
  Deliveries deliveries{journal, router};
  std::vector<Message> ran;

  Taking() {
    router.set_own_id("2");
    REQUIRE(router.add_module("action", {{"COMMAND"}}, [this](Message message) { ran.push_back(std::move(message)); }).has_value());
  }
  template <class T>
  T wait(const std::function<void(std::function<void(T)>)>& begin) {
    std::optional<T> result;
    begin([&result](T got) { result.emplace(std::move(got)); });
    loop.restart();
    auto guard = boost::asio::make_work_guard(loop);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!result && std::chrono::steady_clock::now() < until) loop.run_one_until(until);
    REQUIRE(result);
    return std::move(*result);
  }
  void taken_before(const std::string& token, std::int64_t until) {
    const StoredMessage message{"delivery of " + token, "COMMAND", token, {}, "{}", until};
    REQUIRE(wait<Result<bool>>([&](auto done) { journal.store_incoming(message, done); }).has_value());
  }
  Rows rows(const std::string& token) {
    HistoryFilter filter;
    filter.token = token;
    auto rows = wait<Result<Rows>>([&](auto done) { journal.read(filter, done); });
    REQUIRE(rows.has_value());
    return *rows;
  }
  std::size_t in_inbox() {
    auto list = wait<Result<std::vector<StoredMessage>>>([&](auto done) { journal.incoming(done); });
    REQUIRE(list.has_value());
    return list->size();
  }
};

}  // namespace

TEST_CASE("what is taken while the daemon stops is told as nothing, and runs at the next start") {
  Taking daemon;
  daemon.deliveries.resume();
  (void)daemon.rows("");  // resumed by then
  Message message{"COMMAND", "tok", {}, Payload("{}")};
  message.delivery = "d";
  // The stop comes between its way into the journal and its run.
  const auto answer = daemon.wait<Answer>([&](auto done) {
    daemon.deliveries.take(wrap_delivery(message, 60), done);
    daemon.router.stop();
  });
  CHECK(answer.code == 0);
  CHECK(daemon.ran.empty());
  CHECK(daemon.rows("tok").empty());
  CHECK(daemon.in_inbox() == 1);
}

TEST_CASE("what was taken and whose time is over at the next start is told as not run, once") {
  Taking daemon;
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  daemon.taken_before("late", now - 1);
  daemon.taken_before("early", now + 60);
  daemon.deliveries.resume();
  (void)daemon.in_inbox();  // resumed by then
  const auto rows = daemon.rows("late");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].code == code::failed);
  CHECK(rows[0].data.find("has not run") != std::string::npos);
  REQUIRE(daemon.ran.size() == 1);
  CHECK(daemon.ran[0].token == "early");
  CHECK(daemon.in_inbox() == 1);  // which its module ends
}

TEST_CASE("what was taken for a module that is gone at the next start is refused once, not at each start") {
  Taking daemon;
  daemon.taken_before("tok", static_cast<std::int64_t>(std::time(nullptr)) + 60);
  daemon.router.remove_module("action");
  daemon.deliveries.resume();
  (void)daemon.in_inbox();  // resumed by then
  REQUIRE(daemon.rows("tok").size() == 1);
  CHECK(daemon.rows("tok")[0].data.find("unknown_action") != std::string::npos);
  CHECK(daemon.in_inbox() == 0);
}
