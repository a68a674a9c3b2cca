#include "node_queue.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace std::chrono_literals;
using gorgone::proxy::NodeQueue;

namespace {

Message message(const std::string& token, std::size_t size = 10) {
  return Message{"COMMAND", token, {}, Payload(std::string(size, 'x')), {}};
}

// Sends all that may be sent; the tokens.
std::vector<std::string> drain(NodeQueue& queue) {
  std::vector<std::string> tokens;
  while (const auto* next = queue.next()) {
    tokens.push_back(next->message.token);
    queue.sent(tokens.back());
  }
  return tokens;
}

using Tokens = std::vector<std::string>;

}  // namespace

TEST_CASE("messages leave in order and are kept until they are answered") {
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  CHECK(drain(queue) == Tokens{"a", "b", "c"});
  CHECK(queue.in_flight() == 3);
  REQUIRE(queue.answered("b"));
  CHECK(queue.in_flight() == 2);
  CHECK_FALSE(queue.answered("b"));
}

TEST_CASE("what was not answered is sent again first, in its old order, after the session is lost") {
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  drain(queue);
  queue.answered("a");
  REQUIRE(queue.push(message("d"), 100, true).has_value());
  queue.link_lost();
  CHECK(drain(queue) == Tokens{"b", "c", "d"});
}

TEST_CASE("messages that share a token are answered one by one, the oldest first") {
  NodeQueue queue({});
  for (int i = 0; i < 3; ++i) REQUIRE(queue.push(message("copy", static_cast<std::size_t>(100 + i)), 100, true).has_value());
  drain(queue);
  CHECK(queue.answered("copy")->data.text().size() == 100);
  CHECK(queue.answered("copy")->data.text().size() == 101);
  CHECK(queue.in_flight() == 1);
}

TEST_CASE("an unknown action, which is refused without a token, belongs to the oldest message with it") {
  NodeQueue queue({});
  REQUIRE(queue.push(message("a"), 100, true).has_value());
  for (const char* token : {"b", "c"}) {
    auto other = message(token);
    other.action = "FOO";
    REQUIRE(queue.push(std::move(other), 100, true).has_value());
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
  REQUIRE(by_count.push(message("a"), 100, true).has_value());
  REQUIRE(by_count.push(message("b"), 100, true).has_value());
  CHECK(by_count.push(message("c"), 100, true).error().code == "busy");
  drain(by_count);
  CHECK(by_count.push(message("c"), 100, true).error().code == "busy");
  by_count.answered("a");
  CHECK(by_count.push(message("c"), 100, true).has_value());

  limits = {};
  limits.bytes = 1000;
  NodeQueue by_bytes(limits);
  REQUIRE(by_bytes.push(message("a", 900), 100, true).has_value());
  CHECK(by_bytes.push(message("b", 200), 100, true).error().code == "busy");
  drain(by_bytes);
  by_bytes.answered("a");
  CHECK(by_bytes.push(message("b", 5000), 100, true).has_value());
}

TEST_CASE("no more than the window is sent before answers come, but a message larger than it passes alone") {
  NodeQueue::Limits limits;
  limits.in_flight = 2;
  NodeQueue queue(limits);
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  CHECK(drain(queue) == Tokens{"a", "b"});
  queue.answered("a");
  CHECK(drain(queue) == Tokens{"c"});

  limits = {};
  limits.in_flight_bytes = 100;
  NodeQueue large(limits);
  REQUIRE(large.push(message("a", 1000), 100, true).has_value());
  REQUIRE(large.push(message("b", 1), 100, true).has_value());
  CHECK(drain(large) == Tokens{"a"});
  large.answered("a");
  CHECK(drain(large) == Tokens{"b"});
}

TEST_CASE("what waits too long is taken out, for the link or for an answer") {
  NodeQueue queue({});
  REQUIRE(queue.push(message("a"), 10, true).has_value());
  drain(queue);
  REQUIRE(queue.push(message("b"), 15, true).has_value());
  CHECK(queue.next_expiry() == 10);
  CHECK(queue.expired(9).empty());
  auto late = queue.expired(10);
  REQUIRE(late.size() == 1);
  CHECK((late[0].message.token == "a" && late[0].may_have_come));
  CHECK(queue.next_expiry() == 15);
  late = queue.expired(15);
  REQUIRE(late.size() == 1);
  CHECK((late[0].message.token == "b" && !late[0].may_have_come));
  CHECK(queue.clear(0).empty());
}

TEST_CASE("what was under way when the link was lost may have come, and what was refused for now has not") {
  NodeQueue queue({});
  for (const char* token : {"a", "b"}) REQUIRE(queue.push(message(token), 10, true).has_value());
  drain(queue);
  queue.put_back("b", 0);
  queue.link_lost();
  const auto late = queue.expired(10);
  REQUIRE(late.size() == 2);
  CHECK((late[0].message.token == "a" && late[0].may_have_come));
  CHECK((late[1].message.token == "b" && !late[1].may_have_come));
}

TEST_CASE("a message that has less time than those before it expires before them") {
  NodeQueue queue({});
  REQUIRE(queue.push(message("a"), 100, true).has_value());
  REQUIRE(queue.push(message("b"), 20, true).has_value());
  CHECK(queue.next_expiry() == 20);
  const auto late = queue.expired(20);
  REQUIRE(late.size() == 1);
  CHECK(late[0].message.token == "b");
  CHECK(queue.next_expiry() == 100);
}

TEST_CASE("what the outbox does not have yet is not sent, nor what stands behind it") {
  NodeQueue queue({});
  auto first = message("a");
  first.delivery = "1";
  REQUIRE(queue.push(std::move(first), 100, false).has_value());
  REQUIRE(queue.push(message("b"), 100, true).has_value());
  CHECK(drain(queue).empty());
  queue.stored("1", true);
  CHECK(drain(queue) == Tokens{"a", "b"});
}

TEST_CASE("what the outbox will not have is taken out, and makes room") {
  NodeQueue::Limits limits;
  limits.messages = 1;
  NodeQueue queue(limits);
  auto first = message("a");
  first.delivery = "1";
  REQUIRE(queue.push(std::move(first), 100, false).has_value());
  REQUIRE(queue.stored("1", false));
  CHECK(queue.waiting() == 0);
  CHECK(queue.push(message("b"), 100, true).has_value());
}

TEST_CASE("messages that a busy node did not take are sent again in their old order, whatever the order of its answers") {
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c", "d"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  drain(queue);
  queue.put_back("c", 10);
  queue.put_back("b", 10);
  queue.put_back("unknown", 10);
  queue.answered("a");
  queue.answered("d");
  REQUIRE(queue.push(message("e"), 100, true).has_value());
  queue.resume(11);
  CHECK(drain(queue) == Tokens{"b"});
  queue.answered("b");
  CHECK(drain(queue) == Tokens{"c", "e"});
}

TEST_CASE(
    "a message that a busy node did not take stands before those that were sent after it, also when all of them come back from a lost "
    "session") {
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  drain(queue);
  queue.link_lost();
  REQUIRE(queue.next()->message.token == "a");
  queue.sent("a");
  queue.put_back("a", 10);
  queue.resume(11);
  CHECK(drain(queue) == Tokens{"a"});
  queue.answered("a");
  CHECK(drain(queue) == Tokens{"b", "c"});
  queue.put_back("b", 12);
  queue.link_lost();
  queue.resume(13);
  CHECK(drain(queue) == Tokens{"b"});
  queue.answered("b");
  CHECK(drain(queue) == Tokens{"c"});
}

TEST_CASE("a pong takes what has no answer of its own and was sent before its ping, and nothing else") {
  NodeQueue queue({});
  using Form = NodeQueue::Form;
  for (const char* token : {"a", "b", "c", "d", "e"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  for (const auto form : {Form::silent, Form::wrapped, Form::plain, Form::silent}) queue.sent(queue.next()->message.token, form);
  const auto before = queue.last_sequence();
  queue.sent("e", Form::silent);
  CHECK(queue.silent() == 3);
  const auto taken = queue.silent_until(before);
  REQUIRE(taken.size() == 2);
  CHECK((taken[0].token == "a" && taken[1].token == "d"));
  CHECK(queue.in_flight() == 3);
  CHECK(queue.silent() == 1);
}

TEST_CASE("pieces of one token that are answered one after the other are seen to go on, and one that is sent again is the same") {
  NodeQueue queue({});
  CHECK(queue.oldest_in_flight() == 0);
  for (int i = 0; i < 3; ++i) REQUIRE(queue.push(message("try"), 100, true, NodeQueue::Lane::bulk).has_value());
  drain(queue);
  const auto first = queue.oldest_in_flight();
  queue.answered("try");
  const auto second = queue.oldest_in_flight();
  CHECK(second != first);
  queue.link_lost();
  drain(queue);
  CHECK(queue.oldest_in_flight() == second);
}

TEST_CASE("a message that leaves the outbox before it is sent holds up those behind it until then, and has no delivery id any more") {
  NodeQueue queue({});
  auto first = message("a");
  first.delivery = "1";
  REQUIRE(queue.push(std::move(first), 100, true).has_value());
  REQUIRE(queue.push(message("b"), 100, true).has_value());
  CHECK(queue.hold_next() == "1");
  CHECK(drain(queue).empty());
  queue.forgotten("another");
  CHECK(drain(queue).empty());
  queue.forgotten("1");
  REQUIRE(queue.next());
  CHECK(queue.next()->message.delivery.empty());
  CHECK(drain(queue) == Tokens{"a", "b"});
  // It alone must not be sent a second time.
  const auto once = queue.take_sent_once();
  REQUIRE(once.size() == 1);
  CHECK(once[0].token == "a");
  CHECK(queue.in_flight() == 1);
}

TEST_CASE("of what is in flight, what was wrapped alone is put back where a node does not know that") {
  using Form = NodeQueue::Form;
  NodeQueue queue({});
  for (const char* token : {"a", "b", "c", "d"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  for (const auto form : {Form::plain, Form::wrapped, Form::plain}) queue.sent(queue.next()->message.token, form);
  queue.put_back_wrapped();
  CHECK(queue.in_flight() == 2);
  CHECK(drain(queue) == Tokens{"b", "d"});
  queue.put_back_wrapped();
  CHECK(queue.in_flight() == 4);
}

namespace {

Result<void> push_bulk(NodeQueue& queue, const std::string& token, std::size_t size = 10) {
  return queue.push(message(token, size), 100, true, NodeQueue::Lane::bulk);
}

}  // namespace

TEST_CASE("ordinary messages overtake bulk, and bulk keeps its own order") {
  NodeQueue queue({});
  for (const char* token : {"b1", "b2"}) REQUIRE(push_bulk(queue, token).has_value());
  for (const char* token : {"o1", "o2"}) REQUIRE(queue.push(message(token), 100, true).has_value());
  CHECK(drain(queue) == Tokens{"o1", "o2", "b1", "b2"});
}

TEST_CASE("little bulk is unanswered at a time, and an ordinary message goes past it") {
  NodeQueue::Limits limits;
  limits.bulk_in_flight_bytes = 250;
  NodeQueue queue(limits);
  for (const char* token : {"b1", "b2", "b3"}) REQUIRE(push_bulk(queue, token, 100).has_value());
  CHECK(drain(queue) == Tokens{"b1", "b2"});
  REQUIRE(queue.push(message("o", 1000), 100, true).has_value());
  CHECK(drain(queue) == Tokens{"o"});
  REQUIRE(queue.answered("b1"));
  CHECK(drain(queue) == Tokens{"b3"});
}

TEST_CASE("more bulk is unanswered at a time while answers come quickly, and less after a lost session") {
  NodeQueue::Limits limits;
  limits.bulk_in_flight_bytes = 250;
  NodeQueue queue(limits);
  const auto now = NodeQueue::Clock::time_point();
  auto send = [&] {
    int count = 0;
    for (; const auto* entry = queue.next(); ++count) queue.sent(entry->message.token, NodeQueue::Form::plain, now);
    return count;
  };
  for (int i = 0; i < 12; ++i) REQUIRE(push_bulk(queue, "b", 100).has_value());
  CHECK(send() == 2);
  REQUIRE(queue.answered("b", now + 1ms));
  REQUIRE(queue.answered("b", now + 2ms));
  CHECK(send() == 4);
  REQUIRE(queue.answered("b", now + 500ms));
  CHECK(send() == 0);
  queue.link_lost();
  CHECK(send() == 2);
}

TEST_CASE("a piece of bulk that is larger than the bound goes alone") {
  NodeQueue::Limits limits;
  limits.bulk_in_flight_bytes = 50;
  NodeQueue queue(limits);
  for (const char* token : {"b1", "b2"}) REQUIRE(push_bulk(queue, token, 100).has_value());
  CHECK(drain(queue) == Tokens{"b1"});
  REQUIRE(queue.answered("b1"));
  CHECK(drain(queue) == Tokens{"b2"});
}

TEST_CASE("a lane that is full of bulk refuses no command") {
  NodeQueue::Limits limits;
  limits.messages = 2;
  NodeQueue queue(limits);
  for (const char* token : {"b1", "b2"}) REQUIRE(push_bulk(queue, token).has_value());
  CHECK(push_bulk(queue, "b3").error().code == "busy");
  CHECK(queue.push(message("o"), 100, true).has_value());
}

TEST_CASE("bulk goes while an ordinary message waits for the outbox") {
  NodeQueue queue({});
  auto ordinary = message("o");
  ordinary.delivery = "d";
  REQUIRE(queue.push(ordinary, 100, false).has_value());
  REQUIRE(push_bulk(queue, "b").has_value());
  CHECK(drain(queue) == Tokens{"b"});
  CHECK_FALSE(queue.stored("d", true));
  CHECK(drain(queue) == Tokens{"o"});
}

TEST_CASE("a lost session puts each message back into its own lane") {
  NodeQueue queue({});
  for (const char* token : {"b1", "b2"}) REQUIRE(push_bulk(queue, token).has_value());
  drain(queue);
  REQUIRE(queue.push(message("o"), 100, true).has_value());
  drain(queue);
  queue.link_lost();
  CHECK(queue.in_flight() == 0);
  CHECK(drain(queue) == Tokens{"o", "b1", "b2"});
}

TEST_CASE("what is withdrawn is gone, sent or not, and leaves its room to others") {
  NodeQueue::Limits limits;
  limits.bulk_in_flight_bytes = 250;
  limits.messages = 4;
  NodeQueue queue(limits);
  for (const char* token : {"try", "other", "try", "try"}) REQUIRE(push_bulk(queue, token, 100).has_value());
  CHECK(drain(queue) == Tokens{"try", "other"});
  queue.withdraw("try");
  CHECK(queue.in_flight() == 1);
  CHECK(queue.waiting() == 0);
  CHECK_FALSE(queue.answered("try"));
  REQUIRE(push_bulk(queue, "next", 100).has_value());
  CHECK(drain(queue) == Tokens{"next"});
}

TEST_CASE("what waits for targets that are reached another way is taken out in its order, but not what the outbox does not have yet") {
  NodeQueue queue{NodeQueue::Limits{}};
  auto message = [](const char* token, const char* target) {
    Message made{"COMMAND", token, target, Payload("{}")};
    made.delivery = std::string("d-") + token;
    return made;
  };
  REQUIRE(queue.push(message("1", "9"), 100, true).has_value());
  REQUIRE(queue.push(message("2", "8"), 100, true).has_value());
  REQUIRE(queue.push(message("3", "9"), 100, false).has_value());
  REQUIRE(queue.push(message("4", "9"), 90, true).has_value());
  queue.sent("1");
  queue.link_lost();
  CHECK(queue.take_waiting_if([](const Message& one, bool was_sent) { return one.token == "1" && !was_sent; }, 50).empty());
  const auto taken = queue.take_waiting_if([](const Message& one, bool) { return one.target == "9"; }, 50);
  REQUIRE(taken.size() == 2);
  CHECK(taken[0].token == "1");
  CHECK(taken[0].ttl_s == 50);
  CHECK(taken[1].token == "4");
  CHECK(taken[1].ttl_s == 40);
  CHECK(queue.waiting() == 2);
  REQUIRE(queue.next());
  CHECK(queue.next()->message.token == "2");
}
