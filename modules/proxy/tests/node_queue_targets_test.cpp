// Several targets behind one node: each has its own order, its own bound and its own pauses.

#include "node_queue.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using gorgone::proxy::NodeQueue;

namespace {

using Tokens = std::vector<std::string>;

Result<void> push(NodeQueue& queue, const std::string& token, const std::string& target, bool is_stored = true) {
  Message message{"COMMAND", token, target, Payload("{}")};
  message.delivery = "d-" + token;
  return queue.push(std::move(message), 1000, is_stored);
}

void push_all(NodeQueue& queue, const Tokens& tokens, const std::string& target) {
  for (const auto& token : tokens) REQUIRE(push(queue, token, target).has_value());
}

// Sends all that may be sent; the tokens.
Tokens drain(NodeQueue& queue) {
  Tokens tokens;
  while (const auto* next = queue.next()) {
    tokens.push_back(next->message.token);
    queue.sent(tokens.back());
  }
  return tokens;
}

// What a node does whose own queue for one target is full.
Tokens drain_refusing(NodeQueue& queue, const std::string& target, std::int64_t now) {
  Tokens refused, sent;
  while (const auto* next = queue.next()) {
    const auto token = next->message.token;
    const bool is_refused = next->message.target == target;
    queue.sent(token);
    sent.push_back(token);
    if (is_refused)
      refused.push_back(token);
    else
      REQUIRE(queue.answered(token));
  }
  for (const auto& token : refused) queue.put_back(token, now);
  return sent;
}

}  // namespace

TEST_CASE("more messages of a refused target than the window holds keep no other waiting") {
  NodeQueue::Limits limits;
  limits.in_flight = 2;
  NodeQueue queue(limits);
  push_all(queue, {"x1", "x2", "x3", "x4", "x5"}, "x");
  CHECK(drain_refusing(queue, "x", 10) == Tokens{"x1", "x2"});
  push_all(queue, {"y1", "y2", "y3"}, "y");
  CHECK(drain_refusing(queue, "x", 10) == Tokens{"y1", "y2", "y3"});
  CHECK(queue.waiting() == 5);
  CHECK(queue.in_flight() == 0);
}

TEST_CASE("a refused target is tried with one message after each pause, which grow, and all of it follows once that is taken") {
  NodeQueue queue({});
  push_all(queue, {"x1", "x2", "x3"}, "x");
  CHECK(drain_refusing(queue, "x", 10) == Tokens{"x1", "x2", "x3"});
  std::vector<std::int64_t> pauses;
  for (std::int64_t now = 10; pauses.size() < 5;) {
    REQUIRE(queue.next_pause_end());
    const auto end = *queue.next_pause_end();
    queue.resume(end - 1);
    CHECK(drain(queue).empty());
    queue.resume(end);
    CHECK_FALSE(queue.next_pause_end());
    CHECK(drain_refusing(queue, "x", end) == Tokens{"x1"});
    pauses.push_back(end - now);
    now = end;
  }
  CHECK(pauses == std::vector<std::int64_t>{1, 2, 4, 4, 4});
  queue.resume(*queue.next_pause_end());
  CHECK(drain(queue) == Tokens{"x1"});
  REQUIRE(queue.answered("x1"));
  CHECK(drain(queue) == Tokens{"x2", "x3"});
  queue.put_back("x2", 50);
  CHECK(queue.next_pause_end() == 51);
}

TEST_CASE("a refused target is not tried before all that was sent for it has been answered, nor opened by an answer to what was before") {
  NodeQueue queue({});
  push_all(queue, {"x1", "x2", "x3", "x4"}, "x");
  drain(queue);
  // A full queue refuses at once; what it took is acknowledged when it is stored.
  queue.put_back("x2", 10);
  queue.put_back("x3", 10);
  queue.resume(11);
  CHECK(drain(queue).empty());
  REQUIRE(queue.answered("x1"));
  CHECK(drain(queue).empty());
  queue.put_back("x4", 12);
  CHECK_FALSE(queue.next_pause_end());
  CHECK(drain(queue) == Tokens{"x2"});
}

TEST_CASE("a target that was tried when the link was lost is tried again, and one of which all has expired is forgotten") {
  NodeQueue queue({});
  push_all(queue, {"x1", "x2", "x3"}, "x");
  CHECK(drain_refusing(queue, "x", 10).size() == 3);
  queue.resume(11);
  CHECK(drain(queue) == Tokens{"x1"});
  queue.link_lost();
  CHECK(drain(queue) == Tokens{"x1"});
  CHECK(queue.expired(1000).size() == 3);
  CHECK(queue.next() == nullptr);
  REQUIRE(push(queue, "x4", "x").has_value());
  CHECK(drain(queue) == Tokens{"x4"});
}

TEST_CASE("a target of which nothing is left while it is paused is forgotten") {
  NodeQueue queue({});
  push_all(queue, {"x1"}, "x");
  CHECK(drain_refusing(queue, "x", 10) == Tokens{"x1"});
  CHECK(queue.clear(11).size() == 1);
  CHECK_FALSE(queue.next_pause_end());
  queue.resume(20);
  push_all(queue, {"x2"}, "x");
  CHECK(drain(queue) == Tokens{"x2"});
}

TEST_CASE("targets take turns, each in its order") {
  NodeQueue queue({});
  push_all(queue, {"x1", "x2", "x3"}, "x");
  push_all(queue, {"y1", "y2"}, "y");
  CHECK(drain(queue) == Tokens{"x1", "y1", "x2", "y2", "x3"});
  queue.link_lost();
  CHECK(drain(queue) == Tokens{"x1", "y1", "x2", "y2", "x3"});
}

TEST_CASE("the queue of one target is full for that target alone, and says for which") {
  NodeQueue::Limits limits;
  limits.messages = 2;
  NodeQueue queue(limits);
  push_all(queue, {"x1", "x2"}, "x");
  const auto refused = push(queue, "x3", "x");
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == "busy");
  CHECK(refused.error().message == "busy: 2 messages wait for node 'x' already");
  push_all(queue, {"y1", "y2"}, "y");
  CHECK(push(queue, "own", "").has_value());
}

TEST_CASE("what the outbox does not have yet holds up its own target alone") {
  NodeQueue queue({});
  REQUIRE(push(queue, "x1", "x", false).has_value());
  push_all(queue, {"x2"}, "x");
  push_all(queue, {"y1"}, "y");
  CHECK(drain(queue) == Tokens{"y1"});
  queue.stored("d-x1", true);
  CHECK(drain(queue) == Tokens{"x1", "x2"});
}

TEST_CASE("what is taken out of several targets comes in the order in which it was pushed") {
  NodeQueue queue({});
  for (const char* number : {"1", "2", "3"})
    for (const char* target : {"y", "x"}) REQUIRE(push(queue, std::string(target) + number, target).has_value());
  drain_refusing(queue, "x", 10);
  for (const char* target : {"y", "x"}) REQUIRE(push(queue, std::string(target) + "4", target).has_value());
  Tokens taken;
  for (const auto& message : queue.take_waiting_if([](const Message&, bool) { return true; }, 10)) taken.push_back(message.token);
  CHECK(taken == Tokens{"x1", "x2", "x3", "y4", "x4"});
  CHECK(queue.waiting() == 0);
}
