#include <catch2/catch.hpp>
#include <support/loop_agent.hpp>

#include "../wss_nodes.hpp"

using namespace gorgone;
using namespace gorgone::proxy;
using namespace std::chrono_literals;

namespace {

/// A connection that only remembers.
class FakeSocket final : public WebSocket {
 public:
  asio::awaitable<Result<void>> accept(const Upgrade&) override { co_return Result<void>{}; }
  asio::awaitable<Result<void>> greet(const std::string&, const std::string&, const Headers&) override { co_return Result<void>{}; }
  asio::awaitable<Result<std::string>> read() override { co_return Error{"nothing"}; }
  bool send(std::string text) override {
    if (has_room) sent.push_back(std::move(text));
    return has_room;
  }
  void on_room(std::function<void()> call) override { room = std::move(call); }
  void end(std::string last, unsigned, const std::string&) override {
    sent.push_back(std::move(last));
    open = false;
  }
  void cut(const std::string&) override { open = false; }
  bool is_open() const override { return open; }
  void probe(std::chrono::milliseconds, std::function<void(bool)>) override {}
  void limit_messages(std::size_t) override {}
  const std::string& peer() const override { return name; }

  bool open = true, has_room = true;
  std::vector<std::string> sent;
  std::function<void()> room;
  std::string name = "192.0.2.1:1";
};

struct Owner final : LinkOwner {
  std::vector<std::string> seen;
  void link_up() override { seen.push_back("up"); }
  void link_down(const Error& why) override { seen.push_back("down " + why.code); }
  void link_has_room() override { seen.push_back("room"); }
  void offer_refused(const Error& why) override { seen.push_back("refused " + why.code); }
  void link_received(Message message) override { seen.push_back(message.action); }
};

struct Fixture {
  test::LoopAgent agent;
  WssNodes nodes{agent.loop()};
  Owner owner;
  NodeSpec spec;
  Fixture() {
    spec.id = "6";
    spec.type = "wss";
    spec.extra["uid"] = 70000;
  }
  void turn() { agent.run_for(5ms); }
};

using Seen = std::vector<std::string>;

}  // namespace

TEST_CASE("a node is found by its id and its uid, and its link waits for it") {
  Fixture f;
  CHECK(f.nodes.empty());
  const auto link = f.nodes.open(f.spec, f.owner);
  CHECK(f.nodes.find("6") == f.nodes.find("70000"));
  CHECK(f.nodes.find("7") == nullptr);
  f.turn();
  CHECK(f.owner.seen == Seen{"down awaited"});
  CHECK_FALSE(link->is_up());
  CHECK_FALSE(link->send(Message{"PING", "t", "", Payload(), {}}).has_value());
}

TEST_CASE("a link is up while a connection speaks for its node") {
  Fixture f;
  const auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto socket = std::make_shared<FakeSocket>();
  const auto node = f.nodes.find("6");
  node->attach(socket, true);
  CHECK(link->is_up());
  REQUIRE(link->send(Message{"PING", "t", "", Payload(), {}}).has_value());
  CHECK(socket->sent == Seen{"[PING] [t] [] {}"});
  node->receive(Message{"PONG", "t", "", Payload(), {}});
  node->detach(socket, Error{"gone"});
  CHECK(f.owner.seen == Seen{"down awaited", "up", "PONG", "down lost"});
}

TEST_CASE("a connection that takes another's place is a loss and a new link, and the end of the old one is no news") {
  Fixture f;
  const auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto first = std::make_shared<FakeSocket>(), second = std::make_shared<FakeSocket>();
  const auto node = f.nodes.find("6");
  node->attach(first, true);
  node->attach(second, true);
  node->detach(first, Error{"cut"});
  CHECK(link->is_up());
  CHECK(f.owner.seen == Seen{"down awaited", "up", "down lost", "up"});
}

TEST_CASE("a link that is made anew takes over its node's connection") {
  Fixture f;
  auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto socket = std::make_shared<FakeSocket>();
  f.nodes.find("6")->attach(socket, true);
  link.reset();
  f.spec.extra["uid"] = 80000;
  link = f.nodes.open(f.spec, f.owner);
  f.turn();
  CHECK(socket->open);
  CHECK(link->is_up());
  CHECK(f.nodes.find("70000") == nullptr);
  CHECK(f.nodes.find("80000") != nullptr);
  CHECK(f.owner.seen == Seen{"down awaited", "up", "up"});
}

TEST_CASE("the connection of a node that is not registered any more is ended with the reason") {
  Fixture f;
  auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto socket = std::make_shared<FakeSocket>();
  f.nodes.find("6")->attach(socket, true);
  link.reset();
  f.turn();
  CHECK_FALSE(socket->open);
  REQUIRE(socket->sent.size() == 1);
  CHECK(socket->sent[0].find("node '6' is not registered any more") != std::string::npos);
  CHECK(f.nodes.empty());
  CHECK(f.nodes.find("70000") == nullptr);
}

TEST_CASE("a message that finds no room is refused as busy, and the owner hears when there is room") {
  Fixture f;
  const auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto socket = std::make_shared<FakeSocket>();
  f.nodes.find("6")->attach(socket, true);
  socket->has_room = false;
  const auto sent = link->send(Message{"COMMAND", "t", "", Payload(), {}});
  REQUIRE_FALSE(sent.has_value());
  CHECK(sent.error().code == "busy");
  REQUIRE(socket->room);
  socket->room();
  CHECK(f.owner.seen.back() == "room");
}

TEST_CASE("a node that was given up for its silence is told as mute, whoever noticed it") {
  Fixture f;
  const auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto node = f.nodes.find("6");
  auto socket = std::make_shared<FakeSocket>();
  node->attach(socket, true);
  node->detach(socket, Error{"nothing was heard", down::mute});
  CHECK(f.owner.seen.back() == "down mute");
  socket = std::make_shared<FakeSocket>();
  node->attach(socket, true);
  link->reset("no answer to 3 pings");
  CHECK_FALSE(socket->open);
  node->detach(socket, Error{"cut"});
  CHECK(f.owner.seen.back() == "down mute");
  node->attach(std::make_shared<FakeSocket>(), true);
  node->detach(node->socket, Error{"closed"});
  CHECK(f.owner.seen.back() == "down lost");
}

TEST_CASE("why an offer was refused is told of a node that is away, and of one that is there nothing") {
  Fixture f;
  auto link = f.nodes.open(f.spec, f.owner);
  f.turn();
  const auto node = f.nodes.find("6");
  node->offer_refused(Error{"another secret", down::key_changed});
  CHECK(f.owner.seen == Seen{"down awaited", "refused key_changed"});
  const auto socket = std::make_shared<FakeSocket>();
  node->attach(socket, true);
  node->offer_refused(Error{"another secret", down::key_changed});
  CHECK(link->is_up());
  CHECK(f.owner.seen == Seen{"down awaited", "refused key_changed", "up"});
  socket->open = false;  // its end is not told yet, and says more
  node->offer_refused(Error{"another secret", down::key_changed});
  node->detach(socket, Error{"closed"});
  CHECK(f.owner.seen == Seen{"down awaited", "refused key_changed", "up", "down lost"});
  link.reset();
  node->offer_refused(Error{"another secret", down::key_changed});
  CHECK(f.owner.seen.size() == 4);
}

TEST_CASE("a link is bound while who speaks for its node has shown something of its own") {
  Fixture f;
  auto link = f.nodes.open(f.spec, f.owner);
  CHECK_FALSE(link->is_bound());
  const auto node = f.nodes.find("6");
  node->attach(std::make_shared<FakeSocket>(), true);
  CHECK(link->is_bound());
  link = f.nodes.open(f.spec, f.owner);
  CHECK(link->is_bound());
  node->attach(std::make_shared<FakeSocket>(), false);
  CHECK_FALSE(link->is_bound());
}
