#include "core/net/client_link.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace gorgone;
using namespace std::chrono_literals;
using net::ClientSessions;

namespace {

struct Sessions : ClientSessions {
  State now = State::none;
  Sent outcome = Sent::yes;
  std::vector<std::string> sent;
  State state(const std::string&) const override { return now; }
  Sent send_text(const std::string&, std::string text, wire::Form) override {
    if (outcome == Sent::yes) sent.emplace_back(text);
    return outcome;
  }
  LinkFlow flow(const std::string&) const override { return {}; }
};

// What the owner is told, as words; it may end the link when it hears one of them.
struct Owner : LinkOwner {
  std::vector<std::string> told;
  std::unique_ptr<Link> link;
  std::string ends_at;
  void tell(std::string word) {
    told.push_back(word);
    if (word == ends_at) link.reset();
  }
  void link_up() override { tell("up"); }
  void link_down(const Error& why) override { tell("down " + why.code); }
  void link_received(Message message) override { tell(message.action); }
};

struct Fixture {
  boost::asio::io_context loop;
  Sessions sessions;
  net::ClientLinks links{loop, sessions};
  Owner owner;

  void attach(const std::string& routing_id = "gorgone-6-a") { owner.link = links.attach(routing_id, owner); }
  void run(std::chrono::milliseconds time = 0ms) {
    loop.restart();
    loop.run_for(time);
    loop.restart();
    loop.poll();
  }
  bool take(const char* action) {
    Message message{action, "t", {}, Payload(), {}};
    return links.take("gorgone-6-a", message);
  }
};

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE_METHOD(Fixture, "a link over a session that has spoken is up, but not before its owner has it") {
  sessions.now = ClientSessions::State::heard;
  attach();
  CHECK_FALSE(owner.link->is_up());
  run();
  CHECK(owner.told == Words{"up"});
  CHECK(owner.link->send({"PING", "t", "6", Payload(), {}}).has_value());
  CHECK(sessions.sent == Words{"[PING] [t] [6] {}"});
}

TEST_CASE_METHOD(Fixture, "a link without a session is awaited, sends nothing, and comes up with the first message") {
  attach();
  run();
  CHECK(owner.told == Words{"down awaited"});
  CHECK_FALSE(owner.link->send({"PING", "t", "6", Payload(), {}}).has_value());
  links.heard("gorgone-6-b");
  CHECK_FALSE(owner.link->is_up());
  links.heard("gorgone-6-a");
  CHECK(owner.told == Words{"down awaited", "up"});
  CHECK(sessions.sent.empty());
}

TEST_CASE_METHOD(Fixture, "a link without a routing id is awaited") {
  attach("");
  run();
  CHECK(owner.told == Words{"down awaited"});
}

TEST_CASE_METHOD(Fixture, "a session of before the start is pinged until its client is there") {
  sessions.now = ClientSessions::State::silent;
  sessions.outcome = ClientSessions::Sent::no_route;
  attach();
  run();
  CHECK(owner.told == Words{"down awaited"});
  sessions.outcome = ClientSessions::Sent::yes;
  run(400ms);
  REQUIRE(sessions.sent.size() == 1);  // and not again before it may have answered
  CHECK(sessions.sent[0].starts_with("[PING] ["));
  links.heard("gorgone-6-a");
  CHECK(take("PONG"));
  CHECK(owner.told == Words{"down awaited", "up", "PONG"});
}

TEST_CASE_METHOD(Fixture, "a session that becomes known later is pinged") {
  attach();
  run();
  sessions.now = ClientSessions::State::silent;
  links.restored("gorgone-6-a");
  CHECK(sessions.sent.size() == 1);
}

TEST_CASE_METHOD(Fixture, "sending to a client that went away is an error, and the link is down after the call") {
  sessions.now = ClientSessions::State::heard;
  attach();
  run();
  sessions.outcome = ClientSessions::Sent::no_route;
  const auto sent = owner.link->send({"PING", "t", "6", Payload(), {}});
  REQUIRE_FALSE(sent.has_value());
  CHECK(sent.error().code == down::lost);
  CHECK_FALSE(owner.link->is_up());
  CHECK(owner.told == Words{"up"});
  run();
  CHECK(owner.told == Words{"up", "down lost"});
  links.heard("gorgone-6-a");
  CHECK(owner.told == Words{"up", "down lost", "up"});
}

TEST_CASE_METHOD(Fixture, "a client that reads nothing is no reason to end the link") {
  sessions.now = ClientSessions::State::heard;
  attach();
  run();
  sessions.outcome = ClientSessions::Sent::full;
  CHECK_FALSE(owner.link->send({"PING", "t", "6", Payload(), {}}).has_value());
  run();
  CHECK(owner.told == Words{"up"});
}

TEST_CASE_METHOD(Fixture, "the owner is told of a loss also where the client speaks again before it could be") {
  sessions.now = ClientSessions::State::heard;
  attach();
  run();
  links.renewed("gorgone-6-a");
  links.heard("gorgone-6-a");
  CHECK(owner.told == Words{"up", "down lost", "up"});
  run();
  CHECK(owner.told.size() == 3);
}

TEST_CASE_METHOD(Fixture, "a reset link pings at once and is up when anything comes") {
  sessions.now = ClientSessions::State::heard;
  attach();
  run();
  owner.link->reset("no answer to 3 pings");
  run();
  CHECK(owner.told == Words{"up", "down mute"});
  CHECK(sessions.sent.size() == 1);
  links.heard("gorgone-6-a");
  CHECK(owner.link->is_up());
}

TEST_CASE_METHOD(Fixture, "answers go to the owner, requests do not, and nothing does once the link has ended") {
  sessions.now = ClientSessions::State::heard;
  attach();
  run();
  for (const char* answer : {"PONG", "SETLOGS", "ACK", "SYNCLOGS"}) CHECK(take(answer));
  for (const char* request : {"PING", "REGISTERNODES", "UNREGISTERNODES", "COMMAND", "GETLOG"}) CHECK_FALSE(take(request));
  CHECK(owner.told == Words{"up", "PONG", "SETLOGS", "ACK", "SYNCLOGS"});
  owner.link.reset();
  CHECK_FALSE(take("PONG"));
}

TEST_CASE_METHOD(Fixture, "an owner may end its link whatever it is told") {
  for (const char* word : {"up", "down lost", "PONG"}) {
    sessions.now = ClientSessions::State::heard;
    sessions.outcome = ClientSessions::Sent::yes;
    owner.ends_at = word;
    attach();
    run();
    take("PONG");
    links.gone("gorgone-6-a");
    links.heard("gorgone-6-a");
    run();
    CHECK(owner.link == nullptr);
  }
}

TEST_CASE_METHOD(Fixture, "the newest link over a session gets what comes, and the end of an older one does not end it") {
  sessions.now = ClientSessions::State::heard;
  attach();
  Owner second;
  second.link = links.attach("gorgone-6-a", second);
  owner.link.reset();
  run();
  CHECK(take("PONG"));
  CHECK(second.told == Words{"up", "PONG"});
}
