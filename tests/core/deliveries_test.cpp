#include "core/deliveries.hpp"

#include <catch2/catch.hpp>

#include <ctime>
#include <set>

#include "core/journal/journal_file.hpp"
#include "tests/support/loop_agent.hpp"

using namespace gorgone;

namespace {

struct Taking {
  boost::asio::io_context loop;
  JournalFile journal{loop, ":memory:"};
  Router router{journal};
  Deliveries deliveries;
  std::vector<Message> ran;

  explicit Taking(std::chrono::seconds grace = std::chrono::seconds(0))
      : deliveries(loop, journal, router, std::chrono::seconds(60), grace) {
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

/// Its inbox can be read when it is told to, and knows until then what has come since alone.
struct LockedJournal : test::RecordingJournal {
  bool is_locked = true;
  std::vector<StoredMessage> older;
  std::set<std::string> known;

  void store_incoming(StoredMessage message, std::function<void(Result<bool>)> done) override {
    done(known.insert(message.delivery).second);
  }
  void incoming(std::function<void(Result<std::vector<StoredMessage>>)> done) override {
    if (is_locked) return done(Error{"it cannot be read now", "unreadable"});
    std::erase_if(older, [this](const auto& message) { return !known.insert(message.delivery).second; });
    done(older);
  }
};

struct Locked {
  boost::asio::io_context loop;
  LockedJournal journal;
  Router router{journal};
  Deliveries deliveries{loop, journal, router, std::chrono::seconds(2)};
  std::vector<std::string> ran;

  Locked() {
    router.set_own_id("2");
    REQUIRE(router.add_module("action", {{"COMMAND"}}, [this](const Message& message) { ran.push_back(message.token); }).has_value());
    for (const char* name : {"old", "repeated"})
      journal.older.push_back({name, "COMMAND", name, {}, "{}", static_cast<std::int64_t>(std::time(nullptr)) + 60});
  }
  std::string send(const std::string& name) {
    Message message{"COMMAND", name, {}, Payload("{}")};
    message.delivery = name;
    std::string answered;
    deliveries.take(wrap_delivery(message, 60), [&answered](const Answer& answer) { answered = answer.data.text(); });
    return answered;
  }
  void run_for(std::chrono::milliseconds time) {
    auto guard = boost::asio::make_work_guard(loop);
    loop.restart();
    loop.run_for(time);
  }
};

const std::string taken = "null", refused = R"({"error":"starting","message":"whether it has run before cannot be read now"})";

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

TEST_CASE("behind a message that was refused for now nothing of its way is taken until it has come again") {
  Taking daemon;
  daemon.deliveries.resume();
  (void)daemon.rows("");  // resumed by then
  bool is_full = true;
  struct Full : Gateway {
    explicit Full(bool& full) : is_full(full) {}
    void forward(Message message, Reply reply) override {
      if (is_full) return reply(Answer{"", "", 1, Payload(R"({"error":"busy","message":"full"})")});
      taken.push_back(message.token);
      reply(Answer{});
    }
    json::object constatus() const override { return {}; }
    void fetch_log(const std::string&, std::function<void(Result<void>)>) override {}
    bool knows(const std::string&) const override { return true; }
    bool has_feature(const std::string&, const std::string&) const override { return true; }
    bool& is_full;
    std::vector<std::string> taken;
  } gateway(is_full);
  daemon.router.set_gateway(&gateway);
  auto sent = [&](const std::string& name, const std::string& target = "7", const std::string& from = "central") {
    Message message{"COMMAND", name, target, Payload("{}"), Origin{Origin::Kind::client, from}};
    message.delivery = "d" + name;
    std::optional<int> code;
    daemon.deliveries.take(wrap_delivery(message, 60), [&code](const Answer& answer) { code = answer.code; });
    REQUIRE(code);
    return *code == 0;
  };
  CHECK_FALSE(sent("1"));
  is_full = false;
  CHECK_FALSE(sent("2"));
  CHECK(sent("other node", "8"));
  CHECK_FALSE(sent("3"));
  CHECK(sent("other sender", "7", "remote"));
  CHECK(sent("1"));
  CHECK(sent("2"));
  CHECK(gateway.taken == std::vector<std::string>{"other node", "other sender", "1", "2"});
}

TEST_CASE("what needs a module that is being replaced is refused for now") {
  Taking daemon;
  daemon.deliveries.resume();
  (void)daemon.rows("");  // resumed by then
  struct Way : Gateway {
    void forward(Message, Reply reply) override { reply(Answer{}); }
    json::object constatus() const override { return {}; }
    void fetch_log(const std::string&, std::function<void(Result<void>)>) override {}
    bool knows(const std::string&) const override { return true; }
    bool has_feature(const std::string&, const std::string&) const override { return true; }
  } gateway;
  auto sent = [&](const std::string& name, const std::string& target) {
    Message message{"COMMAND", name, target, Payload("{}")};
    message.delivery = "d" + name;
    return daemon.wait<Answer>([&](auto done) { daemon.deliveries.take(wrap_delivery(message, 60), done); }).data.text();
  };
  const std::string starting = R"({"error":"starting","message":"a module is being loaded anew"})";
  CHECK(sent("early", "7").find("no_proxy") != std::string::npos);
  daemon.router.set_gateway(&gateway);
  daemon.router.set_gateway(nullptr);
  CHECK(sent("1", "7") == starting);
  daemon.router.set_gateway(&gateway);
  CHECK(sent("1", "7") == taken);
  daemon.router.remove_module("action");
  CHECK(sent("2", "") == starting);
  REQUIRE(
      daemon.router.add_module("action", {{"COMMAND"}}, [&](Message message) { daemon.ran.push_back(std::move(message)); }).has_value());
  CHECK(sent("2", "") == taken);
  CHECK(daemon.rows("1").empty());
  CHECK(daemon.rows("2").empty());
  CHECK(daemon.ran.size() == 1);
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

TEST_CASE("what seems to be late at a start is given up after a while only: the clock may be ahead") {
  Taking daemon(std::chrono::seconds(60));
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  daemon.taken_before("late", now - 1);
  daemon.taken_before("early", now + 60);
  daemon.deliveries.resume();
  (void)daemon.in_inbox();  // resumed by then
  CHECK(daemon.rows("late").empty());
  REQUIRE(daemon.ran.size() == 1);
  CHECK(daemon.ran[0].token == "early");
  CHECK(daemon.in_inbox() == 2);
}

TEST_CASE("what was taken before the start runs as soon as it can be read, and what comes until then is refused for now") {
  Locked daemon;
  Message early{"COMMAND", "early", {}, Payload("{}")};
  early.delivery = "early";
  std::string answered;
  daemon.deliveries.take(wrap_delivery(early, 60), [&](const Answer& answer) { answered = answer.data.text(); });
  CHECK(answered.empty());  // the modules are not there yet
  daemon.deliveries.resume();
  CHECK(answered == refused);
  CHECK(daemon.send("early") == refused);
  CHECK(daemon.ran.empty());
  daemon.journal.is_locked = false;
  daemon.run_for(std::chrono::milliseconds(1500));
  CHECK(daemon.ran == std::vector<std::string>{"old", "repeated"});
  CHECK(daemon.send("early") == taken);
  CHECK(daemon.send("repeated") == taken);
  CHECK(daemon.ran == std::vector<std::string>{"old", "repeated", "early"});
}

TEST_CASE("what was taken before the start and cannot be read for long keeps nothing out for ever, and runs in the end") {
  Locked daemon;
  daemon.deliveries.resume();
  CHECK(daemon.send("repeated") == refused);
  daemon.run_for(std::chrono::milliseconds(3500));
  CHECK(daemon.send("repeated") == taken);
  CHECK(daemon.ran == std::vector<std::string>{"repeated"});
  daemon.journal.is_locked = false;
  daemon.run_for(std::chrono::milliseconds(1500));
  CHECK(daemon.ran == std::vector<std::string>{"repeated", "old"});
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
