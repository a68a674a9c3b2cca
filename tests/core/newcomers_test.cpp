#include "core/net/newcomers.hpp"

#include <catch2/catch.hpp>

#include <zmq.h>

using gorgone::net::Newcomers;

namespace {

constexpr int connection = 7, another = 8;
constexpr Newcomers::Limits limits{30000, 1000};

struct Fixture {
  Newcomers newcomers{limits};

  void come(int who, std::int64_t now) {
    newcomers.came(who, now);
    newcomers.is_from(who, "192.0.2.1", 4000 + who);
  }
  std::string why(std::int64_t now) {
    const auto refusal = newcomers.left(connection, now);
    return refusal ? refusal->why : std::string();
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a connection whose greeting names another mechanism is told with its address and what was expected") {
  come(connection, 0);
  newcomers.failed(Newcomers::Failure::protocol, ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH);
  const auto refusal = newcomers.left(connection, 5);
  REQUIRE(refusal);
  CHECK(refusal->host == "192.0.2.1");
  CHECK(refusal->address == "192.0.2.1:4007");
  CHECK(refusal->why == "its greeting names another security mechanism; expected a greeting of ZMTP 3 with the mechanism NULL");
}

TEST_CASE_METHOD(Fixture, "one that does not greet in time is told with the time, and one that went away with what had come of it") {
  come(connection, 0);
  newcomers.failed(Newcomers::Failure::other, EAGAIN);
  CHECK(why(30000) == "it has not greeted within 30 s; expected a greeting of ZMTP 3 with the mechanism NULL");
  come(connection, 0);
  newcomers.received(connection, 10);
  newcomers.failed(Newcomers::Failure::other, ECONNRESET);
  CHECK(why(100) == "it went away after 10 bytes, in the middle of its greeting; expected a greeting of ZMTP 3 with the mechanism NULL");
}

TEST_CASE_METHOD(Fixture, "of one that looks whether the port is open nothing is told") {
  come(connection, 0);
  newcomers.failed(Newcomers::Failure::other, ECONNRESET);
  CHECK(why(100).empty());
}

TEST_CASE_METHOD(Fixture, "a failure is told of the connection that ends next and of no other") {
  come(connection, 0);
  come(another, 0);
  newcomers.failed(Newcomers::Failure::protocol, ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH);
  CHECK(newcomers.left(another, 5));
  newcomers.greeted();
  CHECK(why(5000).empty());
}

TEST_CASE_METHOD(Fixture, "one that ends without a word of ZeroMQ while nobody greets was no ZMTP") {
  come(connection, 0);
  CHECK(why(5) ==
        "what it sent is no ZMTP, or a frame of more than 1000 bytes (max_message_size); expected a greeting of ZMTP 3 with the "
        "mechanism NULL");
}

TEST_CASE_METHOD(Fixture, "one that has greeted and ends at once is told a while later, unless a message of it was still to be read") {
  const bool is_read = GENERATE(false, true);
  come(connection, 0);
  newcomers.greeted();
  CHECK(why(100).empty());
  CHECK(newcomers.due(2000).empty());
  if (is_read) newcomers.forget(connection);
  const auto told = newcomers.due(2200);
  REQUIRE(told.size() == (is_read ? 0 : 1));
  if (!is_read)
    CHECK(told[0].why == "it has ended without a whole message: it went away, or sent a frame of more than 1000 bytes (max_message_size)");
  CHECK(newcomers.due(9000).empty());
}

TEST_CASE_METHOD(Fixture, "nothing is told of one that has greeted and stayed, nor of one that has sent a message") {
  come(connection, 0);
  newcomers.greeted();
  CHECK(why(1500).empty());
  come(connection, 2000);
  newcomers.forget(connection);
  CHECK(why(2005).empty());
  CHECK(newcomers.due(9000).empty());
}

TEST_CASE_METHOD(Fixture, "one that had gone before its address was read is told without it") {
  newcomers.came(connection, 0);
  const auto refusal = newcomers.left(connection, 1);
  REQUIRE(refusal);
  CHECK(refusal->host.empty());
  CHECK(refusal->address == "somebody who had gone before his address was read");
}
