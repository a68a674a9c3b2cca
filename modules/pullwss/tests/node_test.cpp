#include <catch2/catch.hpp>

#include "../pace.hpp"
#include "../upward.hpp"

using namespace gorgone;
using namespace gorgone::pullwss;
using namespace std::chrono_literals;

TEST_CASE("a PING is answered by its PONG, a GETLOG by SETLOGS, a DELIVER by its ACK") {
  const auto pong = upward("PING", Answer{"PONG", "t", 0, Payload("{}")});
  REQUIRE(pong);
  CHECK(pong->kind == "PONG");
  const auto log = upward("GETLOG", Answer{"ACK", "t", 0, Payload(R"({"result":[]})")});
  REQUIRE(log);
  CHECK(log->kind == "SETLOGS");
  CHECK(log->token == "t");
  CHECK(log->data.text() == R"({"result":[]})");
  const auto delivered = upward("DELIVER", Answer{"ACK", "t", 1, Payload("{}")});
  REQUIRE(delivered);
  CHECK(delivered->kind == "ACK");
  CHECK(delivered->code == 1);
}

TEST_CASE("of other requests, and of a GETLOG that was refused, nothing goes up") {
  CHECK_FALSE(upward("COMMAND", Answer{"ACK", "t", 0, Payload("null")}));
  CHECK_FALSE(upward("CONSTATUS", Answer{"CONSTATUS", "t", 2, Payload("{}")}));
  CHECK_FALSE(upward("GETLOG", Answer{"ACK", "t", 1, Payload("{}")}));
  CHECK_FALSE(upward("PING", Answer{"ACK", "t", 1, Payload("{}")}));
}

TEST_CASE("waits grow from half a second to four seconds, are drawn at random, and begin anew after success") {
  Pace pace(7), other(8);
  bool differs = false;
  const Pace::Milliseconds low[] = {500ms, 1000ms, 2000ms, 2000ms, 2000ms};
  for (const auto from : low) {
    const auto wait = pace.next();
    CHECK(wait >= from);
    CHECK(wait <= 2 * from);
    differs = differs || wait != other.next();
  }
  CHECK(differs);
  pace.reset();
  CHECK(pace.next() <= 1000ms);
}
