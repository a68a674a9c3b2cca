#include "core/net/answer_queue.hpp"

#include <catch2/catch.hpp>

#include <vector>

using gorgone::net::AnswerQueue;
using Sent = AnswerQueue::Sent;
using Pushed = AnswerQueue::Pushed;

TEST_CASE("answers that the socket takes are not kept") {
  std::vector<std::string> sent;
  AnswerQueue queue({100, 200, 60000}, [&](const std::string& client, const std::string& frame) {
    sent.push_back(client + frame);
    return Sent::yes;
  });
  CHECK(queue.push("a", "1", 0) == Pushed::yes);
  CHECK(queue.empty());
  CHECK(sent == std::vector<std::string>{"a1"});
}

TEST_CASE("a slow client gets its answers later and in order, others at once") {
  std::vector<std::string> sent;
  bool open = false;
  AnswerQueue queue({100, 200, 60000}, [&](const std::string& client, const std::string& frame) {
    if (client == "slow" && !open) return Sent::full;
    sent.push_back(frame);
    return Sent::yes;
  });
  CHECK(queue.push("slow", "1", 0) == Pushed::yes);
  open = true;  // what comes later must not overtake
  CHECK(queue.push("slow", "2", 0) == Pushed::yes);
  CHECK(queue.push("fast", "x", 0) == Pushed::yes);
  CHECK(sent == std::vector<std::string>{"x"});
  queue.retry(1);
  CHECK(sent == std::vector<std::string>{"x", "1", "2"});
  CHECK(queue.empty());
}

TEST_CASE("a client that reads nothing is cut off at the bound, and begins anew") {
  AnswerQueue queue({100, 200, 60000}, [](const std::string&, const std::string&) { return Sent::full; });
  CHECK(queue.push("mute", std::string(60, 'x'), 0) == Pushed::yes);
  CHECK(queue.push("other", std::string(60, 'x'), 0) == Pushed::yes);
  CHECK(queue.push("mute", std::string(60, 'x'), 0) == Pushed::cut);
  CHECK(queue.push("mute", std::string(60, 'x'), 0) == Pushed::yes);
}

TEST_CASE("answers of a client that went away are dropped") {
  bool gone = false;
  AnswerQueue queue({100, 200, 60000}, [&](const std::string&, const std::string&) { return gone ? Sent::no_route : Sent::full; });
  CHECK(queue.push("a", "1", 0) == Pushed::yes);
  queue.retry(1);
  CHECK_FALSE(queue.empty());
  gone = true;
  queue.retry(1);
  CHECK(queue.empty());
}

TEST_CASE("a client that reads nothing for a minute is cut off, one that reads slowly is not") {
  int room = 0;
  AnswerQueue queue({100, 200, 60000},
                    [&](const std::string& client, const std::string&) { return client == "slow" && room-- > 0 ? Sent::yes : Sent::full; });
  for (int i = 0; i < 3; ++i) CHECK(queue.push("slow", "x", 0) == Pushed::yes);
  CHECK(queue.push("mute", "x", 0) == Pushed::yes);
  room = 1;
  auto retried = queue.retry(30000);
  CHECK(retried.progress);
  CHECK(retried.cut.empty());
  retried = queue.retry(60000);
  CHECK_FALSE(retried.progress);
  CHECK(retried.cut == std::vector<std::string>{"mute"});
  CHECK(queue.retry(89999).cut.empty());
  CHECK(queue.retry(90000).cut == std::vector<std::string>{"slow"});
  CHECK(queue.empty());
}

TEST_CASE("all clients together are bounded too") {
  AnswerQueue queue({100, 200, 60000}, [](const std::string&, const std::string&) { return Sent::full; });
  CHECK(queue.push("a", std::string(90, 'x'), 0) == Pushed::yes);
  CHECK(queue.push("b", std::string(90, 'x'), 0) == Pushed::yes);
  CHECK(queue.push("c", std::string(90, 'x'), 0) == Pushed::cut);
}

TEST_CASE("an answer larger than the bound waits for the one before it, a second one does not") {
  AnswerQueue queue({100, 1000, 60000}, [](const std::string&, const std::string&) { return Sent::full; });
  CHECK(queue.push("a", std::string(300, 'x'), 0) == Pushed::yes);
  CHECK(queue.push("a", "x", 0) == Pushed::cut);
}

TEST_CASE("a client that takes a large answer bit by bit is not cut off, one that stops is") {
  std::uint64_t taken = 0;
  AnswerQueue queue(
      {100, 200, 60000}, [](const std::string&, const std::string&) { return Sent::full; }, [&](const std::string&) { return taken; });
  CHECK(queue.push("a", "x", 0) == Pushed::yes);
  for (std::int64_t now = 50000; now <= 500000; now += 50000) {
    ++taken;
    CHECK(queue.retry(now).cut.empty());
  }
  CHECK(queue.retry(559999).cut.empty());
  CHECK(queue.retry(560000).cut == std::vector<std::string>{"a"});
}
