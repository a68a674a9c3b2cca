#include "keepalive.hpp"

#include <catch2/catch.hpp>

using gorgone::pull::Keepalive;

namespace {

Keepalive connected(Keepalive::Limits limits = {60, 30, 60}) {
  Keepalive keepalive(limits);
  keepalive.link_up(1000);
  return keepalive;
}

}  // namespace

TEST_CASE("a new connection is registered and pinged at once, and again in their time") {
  auto keepalive = connected({20, 30, 60});
  auto due = keepalive.on_clock(1000);
  CHECK((due.registration && due.ping && !due.reset));
  keepalive.heard();
  // A parent that has just been restarted may have passed over the first one, and over the second.
  for (const std::int64_t early : {1005, 1015}) {
    CHECK(keepalive.deadline() == early);
    due = keepalive.on_clock(early);
    CHECK((due.registration && !due.ping));
  }
  CHECK(keepalive.deadline() == 1020);
  due = keepalive.on_clock(1020);
  CHECK((!due.registration && due.ping));
  keepalive.heard();
  CHECK_FALSE(keepalive.on_clock(1074).registration);
  CHECK(keepalive.on_clock(1075).registration);
  keepalive.link_up(2000);
  CHECK(keepalive.on_clock(2000).registration);
  CHECK(keepalive.on_clock(2005).registration);
}

TEST_CASE("nothing after a ping ends the connection in time, and once") {
  auto keepalive = connected();
  for (const std::int64_t early : {1000, 1005, 1015}) keepalive.on_clock(early);
  CHECK(keepalive.deadline() == 1017);  // a look at the line
  keepalive.on_clock(1017);
  CHECK_FALSE(keepalive.on_clock(1029).reset);
  const auto due = keepalive.on_clock(1030);
  CHECK((due.reset && !due.ping && !due.registration));
  CHECK_FALSE(keepalive.deadline().has_value());
  CHECK_FALSE(keepalive.on_clock(1100).reset);
}

TEST_CASE("pings that follow each other faster than the time for an answer do not put the end off") {
  auto keepalive = connected({10, 30, 60});
  for (int now = 1000; now < 1030; now += 10) CHECK(keepalive.on_clock(now).ping);
  CHECK(keepalive.on_clock(1030).reset);
}

TEST_CASE("anything that comes counts as an answer") {
  auto keepalive = connected();
  keepalive.on_clock(1000);
  keepalive.heard();
  CHECK_FALSE(keepalive.on_clock(1031).reset);
}

TEST_CASE("a connection that is down is waited for, not pinged") {
  auto keepalive = connected();
  keepalive.link_down();
  CHECK_FALSE(keepalive.deadline().has_value());
  const auto due = keepalive.on_clock(2000);
  CHECK_FALSE((due.registration || due.ping || due.reset));
}

TEST_CASE("an answer is not late while a large message goes before the ping, or something comes") {
  auto keepalive = connected();
  keepalive.on_clock(1000, {1000000, 0, 0});
  std::uint64_t taken = 0;
  for (std::int64_t now = 1002; now < 1080; now += 2) CHECK_FALSE(keepalive.on_clock(now, {1000200, taken += 20000, 0}).reset);
  for (std::uint64_t come = 0; come < 100000; come += 20000)
    CHECK_FALSE(keepalive.on_clock(1080 + static_cast<std::int64_t>(come / 1000), {1000200, 1000200, come}).reset);
  CHECK_FALSE(keepalive.on_clock(1189, {1000200, 1000200, 80000}).reset);
  CHECK(keepalive.on_clock(1190, {1000200, 1000200, 80000}).reset);
}
