#include "core/net/handshake_queue.hpp"

#include <catch2/catch.hpp>

using gorgone::net::HandshakeQueue;

namespace {

void push(HandshakeQueue& queue, int connection) { queue.push(connection, "gorgone-" + std::to_string(connection), {}); }

int next(HandshakeQueue& queue) {
  const auto entry = queue.begin_next();
  return entry ? entry->connection : -1;
}

}  // namespace

TEST_CASE("of handshakes that wait the last is worked on first, so many at once") {
  HandshakeQueue queue;
  std::vector<HandshakeQueue::Entry> begun;
  const int first = static_cast<int>(HandshakeQueue::at_once);
  for (int connection = 0; connection < first + 2; ++connection) push(queue, connection);
  for (int connection = first + 1; connection >= 2; --connection) {
    begun.push_back(queue.begin_next());
    REQUIRE(begun.back());
    CHECK(begun.back()->connection == connection);
  }
  CHECK(next(queue) == -1);
  CHECK(queue.end(begun[3]));
  CHECK(queue.end(begun[0]));
  CHECK(next(queue) == 1);
  CHECK(next(queue) == 0);
}

TEST_CASE("whoever goes while it waits is passed over, and its routing id is told, once") {
  HandshakeQueue queue;
  for (int connection = 1; connection <= 3; ++connection) push(queue, connection);
  CHECK(queue.left(1) == "gorgone-1");
  CHECK(queue.left(2) == "gorgone-2");
  CHECK_FALSE(queue.left(2));
  CHECK_FALSE(queue.left(4));
  push(queue, 1);  // its number is another's now
  CHECK(next(queue) == 1);
  CHECK(next(queue) == 3);
  CHECK(next(queue) == -1);
}

TEST_CASE("of whoever goes while it is worked on nothing is heard, and its place is given back") {
  HandshakeQueue queue;
  push(queue, 1);
  const auto entry = queue.begin_next();
  CHECK(queue.left(1) == "gorgone-1");
  push(queue, 1);
  CHECK_FALSE(queue.end(entry));
  const auto another = queue.begin_next();
  REQUIRE(another);
  CHECK(queue.end(another));
  CHECK_FALSE(queue.left(1));
  for (int connection = 0; connection < static_cast<int>(HandshakeQueue::at_once); ++connection) push(queue, connection);
  for (int connection = 0; connection < static_cast<int>(HandshakeQueue::at_once); ++connection) CHECK(next(queue) != -1);
}
