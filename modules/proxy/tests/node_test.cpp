#include "node.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>
#include <support/loop_agent.hpp>

#include <algorithm>

namespace {

using namespace gorgone;
using namespace std::chrono_literals;
using proxy::Node;
using proxy::NodeLimits;
using proxy::Redelivery;
using Words = std::vector<std::string>;

/// What the other end of a link sees; it outlives the link.
struct Line {
  bool is_up = false, answers = true;
  std::vector<Message> sent;
  int resets = 0;
};

struct FakeLink : Link {
  explicit FakeLink(Line& the_line) : line(the_line) {}
  Result<void> send(const Message& message) override {
    if (!line.is_up) return Error{"it is not up"};
    line.sent.push_back(message);
    return {};
  }
  void reset(const std::string&) override { ++line.resets; }
  bool is_up() const override { return line.is_up; }
  bool answers_requests() const override { return line.answers; }
  Line& line;
};

struct OutboxJournal : test::RecordingJournal {
  Words forgotten;  // deliveries
  void forget_outgoing(std::string delivery, std::function<void(Result<void>)> done = {}) override {
    forgotten.push_back(std::move(delivery));
    if (done) done(Result<void>{});
  }
};

struct OutboxAgent : test::LoopAgent {
  Journal& journal() override { return outbox; }
  OutboxJournal outbox;
};

struct NoBulk : proxy::BulkOwner {
  bool owns(const std::string&) const override { return false; }
  void bulk_answered(const std::string&, const Result<void>&) override {}
  void way_changed(const std::string&) override {}
};

/// A node whose daemon is played by the test: one of ours names "delivery" in its pongs, a deployed one nothing.
struct Fixture {
  OutboxAgent agent;
  NodeLimits limits;
  NoBulk bulk;
  Line line;
  std::unique_ptr<Node> node;
  std::size_t seen = 0;

  void begin(bool answers, Redelivery redelivery = Redelivery::at_least_once) {
    line.answers = answers;
    limits.redelivery = redelivery;
    NodeSpec spec;
    spec.id = "2";
    auto open = [this](const NodeSpec&, LinkOwner&) -> Result<std::unique_ptr<Link>> { return std::make_unique<FakeLink>(line); };
    node = std::make_unique<Node>(
        agent, spec, limits, open, [](const std::string&, const Message&) {}, bulk);
  }
  void up() {
    line.is_up = true;
    node->link_up();
  }
  void down() {
    line.is_up = false;
    node->link_down(Error{"gone", down::lost});
  }
  void command(const std::string& token, std::int64_t ttl_s = 0, const std::string& data = "{}") {
    Message message{"COMMAND", token, {}, Payload(data), {}};
    message.ttl_s = ttl_s;
    message.delivery = "d-" + token;
    REQUIRE(node->accept(std::move(message), true).has_value());
  }
  void say(const std::string& action, const std::string& token, const std::string& data) {
    node->link_received(Message{action, token, {}, Payload(data), {}});
  }
  /// To the newest ping.
  void pong(bool is_ours, const std::string& instance = "first") {
    const auto ping = std::find_if(line.sent.rbegin(), line.sent.rend(), [](const Message& one) { return one.action == "PING"; });
    REQUIRE(ping != line.sent.rend());
    const auto own = fmt::format(R"(,"features":["delivery"],"max_message_size":65536,"instance":"{}")", instance);
    say("PONG", ping->token, R"({"code":0,"data":{"action":"ping","data":{})" + (is_ours ? own : "") + "}}");
  }
  void refuse_delivery() { say("ACK", "", R"({"code":1,"data":{"error":"unknown_action","message":"action 'DELIVER' is unknown"}})"); }
  void acknowledge(const std::string& token) { say("ACK", token, R"({"code":0,"data":null})"); }
  /// Commands that were sent since the last call.
  Words commands() {
    Words words;
    for (; seen < line.sent.size(); ++seen)
      if (const auto& one = line.sent[seen]; one.action == "COMMAND" || one.action == "DELIVER")
        words.push_back(one.action + " " + one.token);
    return words;
  }
  std::size_t waiting() { return node->constatus().at("queue").to_number<std::size_t>(); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a node that is dialled and was put back to a deployed daemon gets each waiting command once, in their order") {
  const auto redelivery = GENERATE(Redelivery::at_least_once, Redelivery::at_most_once);
  begin(true, redelivery);
  up();
  pong(true);
  down();
  for (const char* token : {"a", "b", "c"}) command(token);
  up();
  CHECK(commands() == Words{"DELIVER d-a", "DELIVER d-b", "DELIVER d-c"});
  refuse_delivery();
  CHECK(commands() == Words{"COMMAND a", "COMMAND b", "COMMAND c"});
  // Those that were on their way at the first one.
  refuse_delivery();
  refuse_delivery();
  pong(false);
  CHECK(commands().empty());
  for (const char* token : {"a", "b", "c"}) acknowledge(token);
  CHECK(waiting() == 0);
  CHECK(agent.outbox.forgotten == Words{"d-a", "d-b", "d-c"});
  CHECK(agent.outbox.rows.empty());
}

TEST_CASE_METHOD(Fixture, "what a node has that must not come twice is told when its link breaks, and no other message") {
  begin(true, Redelivery::at_most_once);
  up();
  pong(false);
  command("a");
  CHECK(commands() == Words{"COMMAND a"});
  // The pong says what came first; then one of ours takes over, and its link breaks too.
  pong(true);
  command("b");
  CHECK(commands() == Words{"DELIVER d-b"});
  down();
  REQUIRE(agent.outbox.rows.size() == 1);
  CHECK(agent.outbox.rows[0].token == "a");
  CHECK(agent.outbox.rows[0].data.find("may have run or not") != std::string::npos);
  up();
  CHECK(commands() == Words{"DELIVER d-b"});
}

TEST_CASE_METHOD(Fixture, "a node that dials and was put back to a deployed daemon gets each waiting command once it has said what it is") {
  begin(false);
  up();
  pong(true);
  down();
  for (const char* token : {"a", "b"}) command(token);
  up();
  pong(false);
  CHECK(commands() == Words{"COMMAND a", "COMMAND b"});
  CHECK(agent.outbox.forgotten.empty());
  agent.run_for(100ms);
  pong(false);  // from behind them
  CHECK(agent.outbox.forgotten == Words{"d-a", "d-b"});
  CHECK(commands().empty());
}

TEST_CASE_METHOD(Fixture,
                 "a pong of a node that dials says nothing of wrapped messages; where it is a deployed one's they go as they are") {
  begin(false);
  up();
  pong(true);
  command("a");
  CHECK(commands() == Words{"DELIVER d-a"});
  pong(true);
  CHECK(agent.outbox.forgotten.empty());
  CHECK(waiting() == 1);
  // Its daemon is replaced, and the link has not noticed.
  pong(false);
  CHECK(agent.outbox.forgotten.empty());
  CHECK(commands() == Words{"COMMAND a"});
}

TEST_CASE_METHOD(Fixture, "an answer of a node that dials says so of plain messages before its question, and of no wrapped one") {
  begin(false);
  up();
  pong(true);
  command("a");
  CHECK(commands() == Words{"DELIVER d-a"});
  const auto question = std::find_if(line.sent.begin(), line.sent.end(), [](const Message& one) { return one.action == "GETLOG"; });
  REQUIRE(question != line.sent.end());
  say("SETLOGS", question->token, R"({"code":0,"data":{"action":"getlog","result":[]}})");
  CHECK(agent.outbox.forgotten.empty());
  CHECK(waiting() == 1);
}

TEST_CASE_METHOD(Fixture,
                 "a node that dials is sent nothing before it has said what it is, whatever its daemon was before the link broke") {
  const bool was_ours = GENERATE(false, true);
  begin(false);
  up();
  pong(was_ours);
  down();
  command("a");
  up();
  agent.run_for(3000ms);
  CHECK(commands().empty());
  pong(true);
  CHECK(commands() == Words{"DELIVER d-a"});
}

TEST_CASE_METHOD(Fixture, "a node whose link breaks before its first pong is waited for anew") {
  const bool answers = GENERATE(false, true);
  begin(answers);
  up();
  down();
  command("a");
  agent.run_for(3000ms);
  up();
  CHECK(commands().empty());
  pong(true);
  CHECK(commands() == Words{"DELIVER d-a"});
}

TEST_CASE_METHOD(Fixture,
                 "a node that dials and does not say what it is gets plain messages in the end, which its next pong acknowledges") {
  limits.first_pong_s = 1;
  begin(false);
  command("a");
  up();
  CHECK(commands().empty());
  agent.run_for(2500ms);
  CHECK(commands() == Words{"COMMAND a"});
  // It is one of ours all the same: of what came without an id it says nothing.
  pong(true);
  CHECK(agent.outbox.forgotten.empty());
  agent.run_for(100ms);
  pong(true);
  CHECK(agent.outbox.forgotten == Words{"d-a"});
  CHECK(waiting() == 0);
  CHECK(line.resets == 0);
}

TEST_CASE_METHOD(Fixture, "of a message whose time is up its row says whether it may have come") {
  begin(true);
  up();
  pong(true);
  command("sent", 1);
  REQUIRE(commands().size() == 1);
  down();
  command("waiting", 1);
  agent.run_for(2500ms);
  REQUIRE(agent.outbox.rows.size() == 2);
  CHECK(agent.outbox.rows[0].token == "sent");
  CHECK(agent.outbox.rows[0].data.find("may have run or not") != std::string::npos);
  CHECK(agent.outbox.rows[1].token == "waiting");
  CHECK(agent.outbox.rows[1].data.find("could not be reached") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a message that is larger than a node takes is told at once, and holds nothing up") {
  begin(GENERATE(false, true));
  up();
  pong(true);
  command("large", 0, '"' + std::string(60000, 'x') + '"');
  command("small");
  command("fits", 0, '"' + std::string(45000, 'x') + '"');
  CHECK(commands() == Words{"DELIVER d-small", "DELIVER d-fits"});
  REQUIRE(agent.outbox.rows.size() == 1);
  CHECK(agent.outbox.rows[0].token == "large");
  CHECK(agent.outbox.rows[0].data.find("takes 65536 at most") != std::string::npos);
  // A deployed daemon names no bound.
  down();
  up();
  pong(false);
  command("larger", 0, '"' + std::string(60000, 'x') + '"');
  CHECK(commands().back() == "COMMAND larger");
}

TEST_CASE_METHOD(Fixture, "the bound of the daemon before refuses nothing that waits for the next one") {
  begin(GENERATE(false, true));
  up();
  pong(true);
  down();
  command("larger", 0, '"' + std::string(60000, 'x') + '"');
  up();
  CHECK(agent.outbox.rows.empty());
  pong(false);
  CHECK(agent.outbox.rows.empty());
  CHECK(commands().back() == "COMMAND larger");
}

TEST_CASE_METHOD(Fixture, "who is refused in a node's place changes nothing of what is known of the node, and is told beside it") {
  begin(false);
  up();
  const auto state = [&](const char* member) { return std::string(node->constatus().at(member).as_string()); };
  // While it is there nobody cares.
  node->offer_refused(Error{"a stranger", down::handshake});
  CHECK_FALSE(node->constatus().contains("refused_offers"));
  down();
  node->offer_refused(Error{"a stranger", down::handshake});
  CHECK(state("why") == down::lost);
  CHECK(state("last_error") == "gone");
  REQUIRE(node->constatus().contains("refused_offers"));
  CHECK(node->constatus().at("refused_offers").at(0).at("message") == "a stranger");
  up();
  CHECK_FALSE(node->constatus().contains("refused_offers"));
  down();
  CHECK(state("last_error") == "gone");
  CHECK_FALSE(node->constatus().contains("refused_offers"));
}

TEST_CASE_METHOD(Fixture, "of a node that has not come at all the offer that was refused is told as why") {
  begin(false);
  node->link_down(Error{"it has not connected yet", down::awaited});
  node->offer_refused(Error{"another secret", down::key_changed});
  CHECK(node->constatus().at("why") == down::key_changed);
  CHECK(node->constatus().at("last_error") == "another secret");
  node->change(node->spec());
  node->link_down(Error{"it has not connected yet", down::awaited});
  CHECK(node->constatus().at("why") == down::awaited);
}
