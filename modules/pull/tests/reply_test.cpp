#include "reply.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using pull::reply_to;

TEST_CASE("a ping is answered by a pong and a question for the log by the log") {
  const auto pong = reply_to("PING", Answer{"PONG", "t", 0, Payload(R"({"id":"6"})")});
  REQUIRE(pong.has_value());
  CHECK(pong->action == "PONG");
  CHECK(pong->token == "t");
  CHECK(pong->target.empty());
  CHECK(pong->data.text() == R"({"code":0,"data":{"id":"6"}})");
  const auto log = reply_to("GETLOG", Answer{"ACK", "t", 1, Payload(R"({"message":"no"})")});
  REQUIRE(log.has_value());
  CHECK(log->action == "SETLOGS");
  CHECK(log->data.text() == R"({"code":1,"data":{"message":"no"}})");
}

TEST_CASE("what is delivered with an id is acknowledged, taken or not") {
  for (const int code : {0, 1}) {
    const auto answer = reply_to("DELIVER", Answer{"ACK", "id", code, Payload("null")});
    REQUIRE(answer.has_value());
    CHECK(answer->action == "ACK");
    CHECK(answer->token == "id");
  }
}

TEST_CASE("nothing else is answered") {
  CHECK_FALSE(reply_to("COMMAND", Answer{"ACK", "t", 0, Payload("null")}).has_value());
  CHECK_FALSE(reply_to("NOSUCHACTION", Answer{"ACK", "", 1, Payload("{}")}).has_value());
  CHECK_FALSE(reply_to("CONSTATUS", Answer{"CONSTATUS", "t", 2, Payload("{}")}).has_value());
}

TEST_CASE("pieces of files are acknowledged, for a parent of our own waits for it before it sends more") {
  const auto piece = reply_to("PROCESSCOPY", Answer{"ACK", "job-try-01234567", 0, Payload("null")});
  REQUIRE(piece);
  CHECK(piece->action == "ACK");
  CHECK(piece->token == "job-try-01234567");
  CHECK(reply_to("CONTENTDATA", Answer{"ACK", "t", 1, Payload("null")}).has_value());
  CHECK_FALSE(reply_to("PROCESSCOPY", Answer{"ACK", "of-a-deployed-parent", 0, Payload("null")}).has_value());
}
