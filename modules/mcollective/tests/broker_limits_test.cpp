#include <catch2/catch.hpp>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using Lines = std::vector<std::string>;

namespace {

std::string only(const Lines& lines) { return lines.size() == 1 ? lines[0] : "not one line but " + std::to_string(lines.size()); }

}  // namespace

TEST_CASE("more clients than clients_max are answered ERROR and closed") {
  auto limits = World::quick_limits();
  limits.clients = 1;
  World world(limits);
  world.join(1, "a");
  world.open(2, "b");
  world.say(2, {"CONNECT", "ID", "1"});
  CHECK(only(world.heard(2)).starts_with("ERROR MESSAGE busy: there are 1 clients already"));
  CHECK_FALSE(world.is_open(2));
  world.open(3, "a");
  CHECK(world.is_open(3));
}

TEST_CASE("a SUB over the limit of topics is refused as a whole, and topics asked for twice count once") {
  auto limits = World::quick_limits();
  limits.topics = 3;
  limits.topic_bytes = 5;
  World world(limits);
  world.join(1, "a", {"1", "2"});
  world.say(1, {"SUB", "ID", "x", "", "3", "4"});
  CHECK(only(world.heard(1)).starts_with("ERROR MESSAGE too many topics: 2 and 2 more, expected 3 at most"));
  CHECK(world.broker->topics().subscriptions() == 2);
  world.say(1, {"SUB", "ID", "y", "", "1", "2", "3"});
  CHECK(only(world.heard(1)) == "OK ID y");
  world.say(1, {"SUB", "ID", "z", "", "123456"});
  CHECK(only(world.heard(1)).starts_with("ERROR MESSAGE a topic of 6 bytes, expected 1 to 5"));
}

TEST_CASE("a body over the limit is refused, one of just that size is not") {
  auto limits = World::quick_limits();
  limits.body_bytes = 10;
  World world(limits);
  world.join(1, "a", {"t"});
  world.say(1, {"PUT", "ID", "1", "TOPIC", "t", "", "12345", "678901"});
  CHECK(only(world.heard(1)).starts_with("ERROR MESSAGE a body of 11 bytes, expected 10 at most"));
  world.put(1, "t", "1234567890");
  CHECK(only(world.heard(1)) == "MESSAGE TOPIC t | 1234567890");
}

TEST_CASE("a full queue first holds the publisher back, then messages are dropped, counted and answered ERROR") {
  World world;
  world.join(1, "slow", {"t"});
  world.join(2, "quick", {"t"});
  world.join(3, "publisher");
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 11; ++i) world.put(3, "t", "x");
  CHECK_FALSE(world.outlet.connections[3].is_paused);
  world.put(3, "t", "x");
  CHECK(world.outlet.connections[3].is_paused);
  world.pass(99ms);
  CHECK(world.outlet.connections[3].is_paused);
  world.pass(1ms);
  CHECK_FALSE(world.outlet.connections[3].is_paused);

  world.heard(2);
  for (int i = 0; i < 4; ++i) world.put(3, "t", "y");
  CHECK_FALSE(world.outlet.connections[3].is_paused);
  CHECK(world.broker->counters().queue_full == 0);
  world.say(3, {"PUT", "ID", "1", "TOPIC", "t", "", "z"});
  CHECK(only(world.heard(3)) == "ERROR MESSAGE the queues of 1 of 2 subscribers are full ID 1");
  CHECK(world.broker->counters().queue_full == 1);
  CHECK(world.heard(2).size() == 5);
}

TEST_CASE("messages that a subscriber has not read when its connection ends are counted as lost, those of its queue are not") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "slow", {"t", "q"}, "1000");
  world.join(3, "publisher", {}, "100000");
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 5; ++i) world.put(3, "t", "x");
  world.broker->offered("q", KeptMessage{7, std::make_shared<const Frames>(Frames{"", "MESSAGE", "TOPIC", "q", "", "k"})}, world.now);
  REQUIRE(world.outlet.connections[1].queued.size() == 6);
  SECTION("by a new one of the same client") { world.open(2, "slow"); }
  SECTION("by itself") { world.lose(1); }
  SECTION("by silence") { world.pass(2s); }
  SECTION("by a revoked key") {
    world.access.refused_keys.insert("key");
    world.broker->grants_changed(world.now);
  }
  CHECK(world.broker->counters().session_over == 5);
}

TEST_CASE("what is still being sent when a session ends is lost where its connection ends before that") {
  World world;
  world.broker->closed(9, gorgone::Error{"it did not read"}, 3, world.now);
  CHECK(world.broker->counters().session_over == 3);
}

TEST_CASE("publishers go on as soon as an eighth of the queue has drained, and a slow client that has drained is waited for again") {
  World world;
  world.join(1, "slow", {"t"});
  world.join(3, "publisher");
  auto& slow = world.outlet.connections[1];
  slow.reads = false;
  for (int i = 0; i < 12; ++i) world.put(3, "t", "x");
  REQUIRE(world.outlet.connections[3].is_paused);
  slow.queued.resize(9);
  world.pass(5ms);
  CHECK_FALSE(world.outlet.connections[3].is_paused);

  for (int i = 0; i < 3; ++i) world.put(3, "t", "x");
  REQUIRE(world.outlet.connections[3].is_paused);
  world.pass(100ms);
  REQUIRE_FALSE(world.outlet.connections[3].is_paused);
  CHECK(world.broker->clients().session("slow")->is_slow);
  slow.queued.clear();
  for (int i = 0; i < 12; ++i) world.put(3, "t", "x");
  CHECK(world.outlet.connections[3].is_paused);
}

TEST_CASE("a publisher whose subscriber goes away while it is held back goes on") {
  World world;
  world.join(1, "slow", {"t"});
  world.join(3, "publisher");
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 12; ++i) world.put(3, "t", "x");
  REQUIRE(world.outlet.connections[3].is_paused);
  SECTION("by losing its connection") { world.lose(1); }
  SECTION("by DISCONNECT") { world.say(1, {"DISCONNECT"}); }
  CHECK_FALSE(world.outlet.connections[3].is_paused);
}

TEST_CASE("one that says DISCONNECT while it is held back is read again") {
  World world;
  world.join(1, "slow", {"t"});
  world.join(3, "publisher");
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 12; ++i) world.put(3, "t", "x");
  world.say(3, {"DISCONNECT"});
  CHECK_FALSE(world.outlet.connections[3].is_paused);
  world.pass(1s);
  CHECK_FALSE(world.outlet.connections[3].is_paused);
}

TEST_CASE("one message may wait whatever its size, a second one only where there is room in bytes") {
  World world;
  world.join(1, "slow", {"t"});
  world.join(3, "publisher");
  world.outlet.connections[1].reads = false;
  world.put(3, "t", std::string(100000, 'x'));
  CHECK(world.outlet.connections[1].queued.size() == 1);
  world.put(3, "t", "y");
  CHECK(world.outlet.connections[1].queued.size() == 1);
  CHECK(world.broker->counters().queue_full == 1);
}

TEST_CASE("a client that asks without reading the answers is not read any more until it does") {
  World world;
  world.join(1, "a");
  auto& connection = world.outlet.connections[1];
  connection.reads = false;
  for (int i = 0; i < 20; ++i) world.say(1, {"SUB", "ID", "1", "", "t"});
  CHECK(connection.is_paused);
  world.pass(1s);
  CHECK(connection.is_paused);
  connection.queued.clear();
  world.pass(50ms);
  CHECK_FALSE(connection.is_paused);
}

TEST_CASE("what a client may not do is answered ERROR and counted") {
  World world;
  world.access.patterns = {"mcollective **"};
  world.join(1, "a", {"mcollective ping"});
  world.say(1, {"SUB", "ID", "1", "", "mcollective x", "other"});
  CHECK(only(world.heard(1)) == "ERROR MESSAGE not allowed to subscribe to \"other\" ID 1");
  world.put(1, "other", "x");
  CHECK(only(world.heard(1)) == "ERROR MESSAGE not allowed to publish on \"other\"");
  CHECK(world.broker->counters().not_allowed == 2);
  CHECK(world.broker->topics().subscriptions() == 1);
}

TEST_CASE("when grants change, who has none is closed, and subscriptions that are not allowed any more end") {
  World world;
  world.join(1, "a", {"mcollective x", "other"});
  world.open(2, "b", "stolen");
  world.say(2, {"CONNECT", "ID", "1"});
  world.access.refused_keys.insert("stolen");
  world.access.patterns = {"mcollective **"};
  world.broker->grants_changed(world.now);
  CHECK_FALSE(world.is_open(2));
  CHECK(world.is_open(1));
  CHECK(world.broker->topics().subscriptions() == 1);
  CHECK(world.broker->clients().sessions() == 1);
}

TEST_CASE("who awaits a certificate may only CONNECT with one") {
  World world;
  world.access.awaiting_keys.insert("key");
  world.open(1, "a");
  world.say(1, {"CONNECT", "ID", "1"});
  CHECK(only(world.heard(1)).starts_with("ERROR MESSAGE not allowed to connect without a certificate"));
  CHECK_FALSE(world.is_open(1));
  world.open(2, "a");
  world.say(2, {"CONNECT", "ID", "2", "CERTIFICATE", "bad"});
  CHECK(only(world.heard(2)).starts_with("ERROR MESSAGE the certificate is refused"));
  CHECK_FALSE(world.is_open(2));
  world.open(3, "a");
  world.say(3, {"CONNECT", "ID", "3", "CERTIFICATE", "good"});
  CHECK(only(world.heard(3)) == "OK ID 3");
}
