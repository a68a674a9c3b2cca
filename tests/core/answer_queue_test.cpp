#include "core/net/answer_queue.hpp"

#include <catch2/catch.hpp>

#include <vector>

using gorgone::net::AnswerQueue;
using Sent = AnswerQueue::Sent;

TEST_CASE("answers that the socket takes are not kept") {
  std::vector<std::string> sent;
  AnswerQueue queue(100, [&](const std::string& client, const std::string& frame) {
    sent.push_back(client + frame);
    return Sent::yes;
  });
  CHECK(queue.push("a", "1"));
  CHECK(queue.empty());
  CHECK(sent == std::vector<std::string>{"a1"});
}

TEST_CASE("a slow client gets its answers later and in order, others at once") {
  std::vector<std::string> sent;
  bool open = false;
  AnswerQueue queue(100, [&](const std::string& client, const std::string& frame) {
    if (client == "slow" && !open) return Sent::full;
    sent.push_back(frame);
    return Sent::yes;
  });
  CHECK(queue.push("slow", "1"));
  open = true;  // what comes later must not overtake
  CHECK(queue.push("slow", "2"));
  CHECK(queue.push("fast", "x"));
  CHECK(sent == std::vector<std::string>{"x"});
  queue.retry();
  CHECK(sent == std::vector<std::string>{"x", "1", "2"});
  CHECK(queue.empty());
}

TEST_CASE("a client that reads nothing is cut off at the bound, and begins anew") {
  AnswerQueue queue(100, [](const std::string&, const std::string&) { return Sent::full; });
  CHECK(queue.push("mute", std::string(60, 'x')));
  CHECK(queue.push("other", std::string(60, 'x')));
  CHECK_FALSE(queue.push("mute", std::string(60, 'x')));
  CHECK(queue.push("mute", std::string(60, 'x')));
}

TEST_CASE("answers of a client that went away are dropped") {
  bool gone = false;
  AnswerQueue queue(100, [&](const std::string&, const std::string&) { return gone ? Sent::no_route : Sent::full; });
  CHECK(queue.push("a", "1"));
  queue.retry();
  CHECK_FALSE(queue.empty());
  gone = true;
  queue.retry();
  CHECK(queue.empty());
}
