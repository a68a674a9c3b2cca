#include "node_queue.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using gorgone::proxy::NodeQueue;

namespace {

Message message(const std::string& token, std::size_t size = 10) {
  return Message{"COMMAND", token, {}, Payload(std::string(size, 'x')), {}};
}

// Sends all that may be sent; the tokens.
std::vector<std::string> drain(NodeQueue& queue) {
  std::vector<std::string> tokens;
  while (const auto* next = queue.next()) {
    tokens.push_back(next->token);
    queue.sent();
  }
  return tokens;
}

using Tokens = std::vector<std::string>;

}  // namespace

TEST_CASE("messages leave in order and are kept until they are answered") {
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 0).has_value());
  CHECK(drain(queue) == Tokens{"a", "b", "c"});
  CHECK(queue.in_flight() == 3);
  REQUIRE(queue.answered("b"));
  CHECK(queue.in_flight() == 2);
  CHECK_FALSE(queue.answered("b"));
}

TEST_CASE("what was not answered is sent again first, in its old order, after the session is lost") {
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 0).has_value());
  drain(queue);
  queue.answered("a");
  REQUIRE(queue.push(message("d"), 0).has_value());
  queue.link_lost();
  CHECK(drain(queue) == Tokens{"b", "c", "d"});
}

TEST_CASE("messages that share a token are answered one by one, the oldest first") {
  NodeQueue queue({});
  for (int i = 0; i < 3; ++i) REQUIRE(queue.push(message("copy", static_cast<std::size_t>(100 + i)), 0).has_value());
  drain(queue);
  CHECK(queue.answered("copy")->data.text().size() == 100);
  CHECK(queue.answered("copy")->data.text().size() == 101);
  CHECK(queue.in_flight() == 1);
}

TEST_CASE("an unknown action, which is refused without a token, belongs to the oldest message with it") {
  NodeQueue queue({});
  REQUIRE(queue.push(message("a"), 0).has_value());
  for (const char* token : {"b", "c"}) {
    auto other = message(token);
    other.action = "FOO";
    REQUIRE(queue.push(std::move(other), 0).has_value());
  }
  drain(queue);
  CHECK(queue.unknown_action("FOO")->token == "b");
  CHECK_FALSE(queue.unknown_action("BAR"));
  CHECK_FALSE(queue.answered(""));
  CHECK(queue.in_flight() == 2);
}

TEST_CASE("a full queue refuses as busy, by count and by bytes, and takes again when there is room") {
  NodeQueue::Limits limits;
  limits.messages = 2;
  NodeQueue by_count(limits);
  REQUIRE(by_count.push(message("a"), 0).has_value());
  REQUIRE(by_count.push(message("b"), 0).has_value());
  CHECK(by_count.push(message("c"), 0).error().code == "busy");
  drain(by_count);
  CHECK(by_count.push(message("c"), 0).error().code == "busy");
  by_count.answered("a");
  CHECK(by_count.push(message("c"), 0).has_value());

  limits = {};
  limits.bytes = 1000;
  NodeQueue by_bytes(limits);
  REQUIRE(by_bytes.push(message("a", 900), 0).has_value());
  CHECK(by_bytes.push(message("b", 200), 0).error().code == "busy");
  drain(by_bytes);
  by_bytes.answered("a");
  CHECK(by_bytes.push(message("b", 5000), 0).has_value());
}

TEST_CASE("no more than the window is sent before answers come, but a message larger than it passes alone") {
  NodeQueue::Limits limits;
  limits.in_flight = 2;
  NodeQueue queue(limits);
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 0).has_value());
  CHECK(drain(queue) == Tokens{"a", "b"});
  queue.answered("a");
  CHECK(drain(queue) == Tokens{"c"});

  limits = {};
  limits.in_flight_bytes = 100;
  NodeQueue large(limits);
  REQUIRE(large.push(message("a", 1000), 0).has_value());
  REQUIRE(large.push(message("b", 1), 0).has_value());
  CHECK(drain(large) == Tokens{"a"});
  large.answered("a");
  CHECK(drain(large) == Tokens{"b"});
}

TEST_CASE("what waits too long is taken out, for the link or for an answer") {
  NodeQueue::Limits limits;
  limits.ttl_s = 10;
  NodeQueue queue(limits);
  REQUIRE(queue.push(message("a"), 0).has_value());
  drain(queue);
  REQUIRE(queue.push(message("b"), 5).has_value());
  CHECK(queue.next_expiry() == 10);
  CHECK(queue.expired(9).empty());
  auto late = queue.expired(10);
  REQUIRE(late.size() == 1);
  CHECK(late[0].token == "a");
  CHECK(queue.next_expiry() == 15);
  late = queue.expired(15);
  REQUIRE(late.size() == 1);
  CHECK(late[0].token == "b");
  CHECK(queue.clear().empty());
}
