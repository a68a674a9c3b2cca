#include "ping_watch.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using gorgone::proxy::PingWatch;
using Due = PingWatch::Due;

TEST_CASE("a node is pinged at once when its link is up, then after each interval") {
  PingWatch watch({60, 10, 3});
  CHECK(watch.on_clock(0, 0) == Due::nothing);
  watch.link_up(100);
  CHECK(watch.on_clock(100, 1000) == Due::ping);
  watch.sent("t", 100, 1000);
  CHECK(watch.on_clock(101, 1001) == Due::nothing);
  CHECK(watch.pong("t", 101, 1001));
  CHECK(watch.on_clock(159, 1059) == Due::nothing);
  CHECK(*watch.deadline() == 160);
  CHECK(watch.on_clock(160, 1060) == Due::ping);
}

TEST_CASE("after a lost pong the next ping follows at once, and after three the connection is given up") {
  PingWatch watch({60, 10, 3});
  watch.link_up(0);
  for (int i = 0; i < 2; ++i) {
    CHECK(watch.on_clock(10 * i, 0) == Due::ping);
    watch.sent("t", 10 * i, 0);
    CHECK(watch.on_clock(10 * i + 9, 0) == Due::nothing);
  }
  CHECK(watch.on_clock(20, 0) == Due::ping);
  watch.sent("t", 20, 0);
  CHECK(watch.on_clock(30, 0) == Due::reset);
}

TEST_CASE("whatever else comes shows that a node is there, though its pongs are late") {
  PingWatch watch({60, 10, 2});
  watch.link_up(0);
  for (int i = 0; i < 5; ++i) {
    CHECK(watch.on_clock(10 * i, 0) == Due::ping);
    watch.sent("t", 10 * i, 0);
    watch.heard(10 * i);
  }
  CHECK(watch.on_clock(50, 0) == Due::ping);
  watch.sent("t", 50, 0);
  CHECK(watch.on_clock(60, 0) == Due::reset);
}

TEST_CASE("a pong in between starts the count anew") {
  PingWatch watch({60, 10, 2});
  watch.link_up(0);
  CHECK(watch.on_clock(0, 0) == Due::ping);
  watch.sent("a", 0, 0);
  CHECK(watch.on_clock(10, 0) == Due::ping);
  watch.sent("b", 10, 0);
  CHECK_FALSE(watch.pong("a", 11, 0));
  CHECK(watch.pong("b", 12, 0));
  CHECK(watch.on_clock(70, 0) == Due::ping);
  watch.sent("c", 70, 0);
  CHECK(watch.on_clock(80, 0) == Due::ping);
}

TEST_CASE("CONSTATUS tells what was counted") {
  PingWatch watch({60, 10, 3});
  watch.link_up(0);
  watch.on_clock(0, 1000);
  watch.sent("a", 0, 1000);
  watch.pong("a", 1, 1001);
  watch.on_clock(60, 1060);
  watch.sent("b", 60, 1060);
  json::object out;
  watch.describe(out);
  CHECK(out["ping_ok"] == 1);
  CHECK(out["in_progress_ping"] == 1);
  CHECK(out["last_ping_recv"] == 1001);
  CHECK(out["last_ping_sent"] == 1060);
  CHECK(out["next_ping"] == 1120);
  watch.link_down();
  watch.describe(out);
  CHECK(out["ping_failed"] == 1);
  CHECK(out["in_progress_ping"] == 0);
  CHECK_FALSE(watch.deadline());
}

TEST_CASE("a pong is not late while what goes before its ping is on its way") {
  PingWatch watch({60, 10, 1});
  watch.link_up(0);
  watch.sent("t", 0, 0, {100000, 20000, 0});
  CHECK(watch.deadline() == 2);
  for (std::int64_t now = 2; now <= 40; now += 2) {
    CHECK(watch.moves(now, {100300, 20000 + 2000 * static_cast<std::uint64_t>(now), 0}));
    REQUIRE(watch.on_clock(now, 0) == Due::nothing);
    CHECK(watch.unanswered_since() == now);
  }
  // All of it has been taken: from now on the node has the usual time.
  CHECK_FALSE(watch.moves(42, {100300, 100300, 0}));
  CHECK(watch.on_clock(49, 0) == Due::nothing);
  CHECK(watch.on_clock(50, 0) == Due::reset);
}

TEST_CASE("a pong is not late while something comes, more than the transport's own") {
  PingWatch watch({60, 10, 1});
  watch.link_up(0);
  watch.sent("t", 0, 0, {300, 300, 5000});
  CHECK(watch.moves(2, {600, 600, 50000}));
  CHECK(watch.on_clock(11, 0) == Due::nothing);
  CHECK_FALSE(watch.moves(11, {600, 600, 50400}));
  CHECK(watch.unanswered_since() == 2);
  CHECK(watch.on_clock(12, 0) == Due::reset);
}

TEST_CASE("what the system of a node that hangs takes gives it no more time") {
  PingWatch watch({60, 10, 1});
  watch.link_up(0);
  watch.sent("t", 0, 0, {1000, 1000, 0});
  // The ping itself, and commands after it.
  for (std::int64_t now = 2; now <= 8; now += 2)
    CHECK_FALSE(watch.moves(now, {1000 + 5000 * static_cast<std::uint64_t>(now), 1000 + 5000 * static_cast<std::uint64_t>(now), 0}));
  CHECK(watch.unanswered_since() == 0);
  CHECK(watch.on_clock(10, 0) == Due::reset);
}

TEST_CASE("since when pings are unanswered counts over those that were lost, until a pong") {
  PingWatch watch({60, 10, 3});
  watch.link_up(0);
  CHECK_FALSE(watch.unanswered_since());
  watch.sent("a", 5, 0);
  CHECK(watch.on_clock(15, 0) == Due::ping);
  watch.sent("b", 15, 0);
  CHECK(watch.unanswered_since() == 5);
  CHECK(watch.pong("b", 16, 0));
  CHECK_FALSE(watch.unanswered_since());
}

TEST_CASE("how long ago a pong came is not measured by the time of day") {
  PingWatch watch({60, 10, 3});
  CHECK_FALSE(watch.has_ponged());
  CHECK_FALSE(watch.has_ponged_within(300, 100));
  watch.link_up(100);
  watch.sent("a", 100, 5000);
  CHECK(watch.pong("a", 101, 5001));
  watch.sent("b", 160, 5060 + 86400);  // the clock was set meanwhile
  CHECK(watch.has_ponged());
  CHECK(watch.has_ponged_within(300, 401));
  CHECK_FALSE(watch.has_ponged_within(300, 402));
  json::object out;
  watch.describe(out);
  CHECK(out["last_ping_recv"] == 5001);
}
