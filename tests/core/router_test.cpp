#include "core/router.hpp"

#include <catch2/catch.hpp>

#include "core/core_actions.hpp"
#include "core/journal/journal_file.hpp"

using namespace gorgone;

namespace {

struct Fixture {
  boost::asio::io_context loop;
  JournalFile journal{loop, ":memory:"};
  Router router{journal};
  std::vector<Message> taken;

  Fixture() { router.set_own_id("2"); }
  Result<void> serve(const std::string& module, const std::vector<Action>& actions) {
    return router.add_module(module, actions, [this](Message message) { taken.push_back(std::move(message)); });
  }
  Answer ask(Message message) {
    std::optional<Answer> answer;
    router.submit(std::move(message), [&](Answer got) { answer = std::move(got); });
    REQUIRE(answer);
    return *answer;
  }
};

// Keeps what it is given.
class Recorder final : public Gateway {
 public:
  void forward(Message message, Reply reply) override {
    forwarded.push_back(std::move(message));
    if (reply) reply(Answer{});
  }
  json::object constatus() const override { return {}; }
  void fetch_log(const std::string&, std::function<void(Result<void>)> done) override { done({}); }
  bool knows(const std::string&) const override { return true; }
  bool has_feature(const std::string&, const std::string&) const override { return false; }
  std::vector<Message> forwarded;
};

}  // namespace

TEST_CASE("a message for this node reaches its module, by an empty target or the own id, and is acknowledged") {
  Fixture fixture;
  REQUIRE(fixture.serve("action", {{"COMMAND"}}).has_value());
  const auto answer = fixture.ask({"COMMAND", "tok", "", Payload(), {}});
  CHECK(answer.kind == "ACK");
  CHECK(answer.token == "tok");
  CHECK(answer.code == 0);
  CHECK(answer.data.text() == "null");
  fixture.ask({"COMMAND", "tok2", "2", Payload(), {}});
  REQUIRE(fixture.taken.size() == 2);
  CHECK(fixture.taken[1].token == "tok2");
}

TEST_CASE("a message without a token is given one of 128 hex characters") {
  Fixture fixture;
  REQUIRE(fixture.serve("action", {{"COMMAND"}}).has_value());
  const auto token = fixture.ask({"COMMAND", "", "", Payload(), {}}).token;
  CHECK(token.size() == 128);
  CHECK(token.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(fixture.taken[0].token == token);
}

TEST_CASE("an unknown action is refused without a token, a message for another node needs a proxy") {
  Fixture fixture;
  auto answer = fixture.ask({"NOSUCH", "tok", "", Payload(), {}});
  CHECK(answer.code == 1);
  CHECK(answer.token.empty());
  CHECK(answer.data.text() == R"({"error":"unknown_action","message":"action 'NOSUCH' is unknown"})");
  answer = fixture.ask({"PING", "tok", "77", Payload(), {}});
  CHECK(answer.token == "tok");
  CHECK(answer.data.text() == R"({"error":"no_proxy","message":"no proxy configured. cannot manage target."})");
  Recorder gateway;
  fixture.router.set_gateway(&gateway);
  fixture.ask({"PING", "tok", "77", Payload(), {}});
  REQUIRE(gateway.forwarded.size() == 1);
  CHECK(gateway.forwarded[0].target == "77");
}

TEST_CASE("an action or a path belongs to one module, and is free when that is gone") {
  Fixture fixture;
  REQUIRE(fixture.serve("one", {{"COMMAND", "POST", "/core/action/command"}}).has_value());
  CHECK(fixture.serve("two", {{"OTHER"}, {"COMMAND"}}).error().message.find("one") != std::string::npos);
  CHECK_FALSE(fixture.serve("two", {{"OTHER", "POST", "/core/action/command"}}).has_value());
  CHECK(fixture.ask({"OTHER", "t", "", Payload(), {}}).code == 1);
  fixture.router.remove_module("one");
  CHECK_FALSE(fixture.router.endpoint("POST", "/core/action/command"));
  CHECK(fixture.serve("two", {{"COMMAND", "POST", "/core/action/command"}}).has_value());
}

TEST_CASE("the longest registered path is taken, what follows are variables") {
  Fixture fixture;
  REQUIRE(fixture.serve("cron", {{"GETCRON", "GET", "/core/cron/definitions"}, {"ADDCRON", "POST", "/core/cron/definitions"}}).has_value());
  const auto endpoint = fixture.router.endpoint("GET", "/core/cron/definitions/7/status");
  REQUIRE(endpoint);
  CHECK(endpoint->action == "GETCRON");
  CHECK(endpoint->variables == std::vector<std::string>{"7", "status"});
  CHECK_FALSE(fixture.router.endpoint("GET", "/core/cron/definition"));
  CHECK_FALSE(fixture.router.endpoint("GET", "/core/cron"));
  CHECK_FALSE(fixture.router.endpoint("GET", ""));
  CHECK(fixture.router.methods("/core/cron/definitions/7") == std::vector<std::string>{"GET", "POST"});
  CHECK(fixture.router.methods("/nothing").empty());
}

TEST_CASE("a router that stops refuses every message as stopping") {
  Fixture fixture;
  REQUIRE(fixture.serve("action", {{"COMMAND"}}).has_value());
  fixture.router.stop();
  CHECK(fixture.ask({"COMMAND", "tok", "", Payload(), {}}).data.text().find("\"stopping\"") != std::string::npos);
  CHECK(fixture.taken.empty());
}

TEST_CASE("filters of GETLOG come as numbers or text, empty ones are not set, others are named") {
  auto filter = history_filter(*parse_json(R"({"id":"5","token":"t","ctime":"1.5","etime":7,"code":"2","limit":3})"));
  REQUIRE(filter.has_value());
  CHECK(filter->id_after == 5);
  CHECK(filter->ctime_after == 1.5);
  CHECK(filter->code == 2);
  CHECK(filter->limit == 3);
  filter = history_filter(*parse_json(R"({"id":"","token":null})"));
  REQUIRE(filter.has_value());
  CHECK(filter->empty());
  CHECK(history_filter(*parse_json(R"({"code":"x"})")).error().message.find("code") != std::string::npos);
  CHECK_FALSE(history_filter(*parse_json(R"({"limit":0})")).has_value());
}
