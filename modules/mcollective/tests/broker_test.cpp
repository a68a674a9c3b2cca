#include <catch2/catch.hpp>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using Lines = std::vector<std::string>;

TEST_CASE("a client connects, subscribes, and hears what another puts on its topic") {
  World world;
  world.open(1, "web1 17 #<Thread>");
  world.say(1, {"CONNECT", "ID", "1", "TTL", "30000", "VERSION", "0.2"});
  CHECK(world.heard(1) == Lines{"OK ID 1"});
  world.say(1, {"SUB", "ID", "2", "", "mcollective ping"});
  CHECK(world.heard(1) == Lines{"OK ID 2"});
  world.pass(200ms);
  world.join(2, "client");
  world.say(2, {"PUT", "TOPIC", "mcollective ping", "X-REPLY-TO", "r", "", "hello"});
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC mcollective ping X-REPLY-TO r | hello"});
  CHECK(world.heard(2).empty());
  world.say(1, {"UNSUB", "ID", "3", "", "mcollective ping"});
  CHECK(world.heard(1) == Lines{"OK ID 3"});
  world.put(2, "mcollective ping", "again");
  world.pass(1s);
  CHECK(world.heard(1).empty());
}

TEST_CASE("whoever speaks before CONNECT is told so where it gave an ID, and closed") {
  World world;
  world.open(1, "a");
  world.say(1, {"SUB", "ID", "9", "", "t"});
  REQUIRE(world.heard(1).size() == 1);
  CHECK_FALSE(world.is_open(1));
  world.open(2, "b");
  world.say(2, {"NOOP"});
  CHECK(world.heard(2).empty());
  CHECK_FALSE(world.is_open(2));
}

TEST_CASE("a connection that never says CONNECT is closed after a while, one that does is not") {
  World world;
  world.open(1, "a");
  world.open(2, "b");
  world.say(2, {"CONNECT", "ID", "1"});
  world.pass(31s);
  CHECK_FALSE(world.is_open(1));
  CHECK(world.is_open(2));
}

TEST_CASE("what is no command is answered ERROR with its ID, and the client stays") {
  World world;
  world.join(1, "a");
  const std::vector<std::pair<Frames, std::string>> faults{
      {{"HELLO", "ID", "1"}, "unknown verb HELLO"},        {{"put", "ID", "1", "TOPIC", "t"}, "unknown verb put"},
      {{"PUT", "ID", "1"}, "PUT without a topic"},         {{"PUT", "ID", "1", "TOPIC", ""}, "a topic of 0 bytes"},
      {{"SUB", "ID", "1"}, "SUB without a topic"},         {{"SUB", "ID", "1", "", ""}, "a topic of 0 bytes"},
      {{"UNSUB", "ID", "1", ""}, "UNSUB without a topic"}, {{"SUB", "ID", "1", "ODD"}, "header ODD has no value"},
      {{"CONNECT", "ID", "1", "TTL", "soon"}, "TTL soon"}};
  for (const auto& [frames, text] : faults) {
    world.say(1, frames);
    const auto heard = world.heard(1);
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].starts_with("ERROR MESSAGE " + text));
    CHECK(heard[0].ends_with(" ID 1"));
    CHECK(world.is_open(1));
  }
}

TEST_CASE("nothing but the answer comes between a command with an ID and its answer, or shortly after it") {
  World world;
  world.join(1, "a", {"t"});
  world.join(2, "b");
  world.say(1, {"SUB", "ID", "2", "", "u"});
  world.put(2, "t", "early");
  CHECK(world.heard(1) == Lines{"OK ID 2"});
  world.say(1, {"SUB", "ID", "3", "", "v"});
  CHECK(world.heard(1) == Lines{"OK ID 3"});
  world.pass(199ms);
  CHECK(world.heard(1).empty());
  world.pass(1ms);
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC t | early"});
}

TEST_CASE("what waits in a client's connection stays there between a command and its answer, and shortly after it") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "slow", {"t"});
  world.join(2, "b");
  auto& slow = world.outlet.connections[1];
  slow.reads = false;
  for (int i = 0; i < 3; ++i) world.put(2, "t", "x");
  REQUIRE(slow.queued.size() == 3);
  CHECK_FALSE(slow.is_held);
  SECTION("UNSUB") {
    world.say(1, {"UNSUB", "ID", "9", "", "t"});
    CHECK(slow.queued_answers.size() == 1);
    CHECK(slow.is_held);
    world.pass(199ms);
    CHECK(slow.is_held);
    world.pass(1ms);
    CHECK_FALSE(slow.is_held);
  }
  SECTION("a PUT that is answered later") {
    world.say(1, {"PUT", "ID", "9", "TOPIC", "q", "", "x"});
    CHECK(slow.is_held);
    world.pass(1s);
    CHECK(slow.is_held);
    SECTION("or in the session's next life") {
      world.say(1, {"DISCONNECT"});
      CHECK(slow.is_held);
    }
    CHECK(slow.queued_answers.empty());
    world.kept.puts.at(0).second({});
    CHECK(slow.queued_answers.size() == 1);
    CHECK_FALSE(slow.is_held);
  }
}

TEST_CASE("a client that publishes is done with subscribing, and gets its messages at once") {
  World world;
  world.join(1, "server", {"t"});
  world.open(2, "client");
  world.say(2, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.say(2, {"SUB", "ID", "2", "", "reply"});
  world.heard(2);
  world.put(2, "t", "ping");
  world.put(1, "reply", "pong");
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC reply | pong"});
}

TEST_CASE("a client that publishes to itself has the answer first, and then what waited for it and what it has published") {
  World world;
  world.join(1, "a", {"t"});
  world.join(2, "b");
  world.say(1, {"SUB", "ID", "1", "", "u"});
  world.put(2, "t", "earlier");
  world.heard(1);
  world.say(1, {"PUT", "ID", "2", "TOPIC", "t", "", "own"});
  CHECK(world.heard(1) == Lines{"OK ID 2", "MESSAGE TOPIC t | earlier", "MESSAGE TOPIC t | own"});
}

TEST_CASE("a client is spoken to when nothing was sent to it for 0.40 to 0.50 of its TTL, at another moment each time") {
  World world;
  world.join(1, "a", {"t"}, "3000");
  world.join(2, "b");
  std::set<int> moments;
  for (int i = 0; i < 20; ++i) {
    world.put(2, "t", "x");
    CHECK(world.heard(1) == Lines{"MESSAGE TOPIC t | x"});
    world.say(1, {"NOOP"});
    int moment = 0;
    for (; world.outlet.connections[1].sent.empty(); ++moment) world.pass(1ms);
    CHECK(world.heard(1) == Lines{"NOOP"});
    CHECK(moment >= 1200);
    CHECK(moment <= 1500);
    moments.insert(moment);
  }
  CHECK(moments.size() > 10);
  CHECK(*moments.rbegin() - *moments.begin() > 100);
}

TEST_CASE("a client that is silent for 1.05 TTL is dropped with its subscriptions and closed, one that speaks is not") {
  World world;
  world.join(1, "a", {"t"}, "1000");
  world.join(2, "b", {"t"}, "1000");
  for (int i = 0; i < 4; ++i) {
    world.pass(300ms);
    world.say(2, {"NOOP"});
  }
  CHECK_FALSE(world.is_open(1));
  CHECK(world.is_open(2));
  CHECK(world.broker->topics().subscriptions() == 1);
  CHECK(world.broker->counters().expired == 1);
}

TEST_CASE("how long a client's silence and the broker's may be are options") {
  auto limits = World::quick_limits();
  limits.heartbeat_percent = 20;
  limits.silence_percent = 250;
  World world(limits);
  world.join(1, "a", {}, "10000");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "t", "", "x"});
  CHECK(world.heard(1) == Lines{"OK ID 1"});
  world.pass(1599ms);
  CHECK(world.heard(1).empty());
  world.pass(401ms);
  CHECK(world.heard(1) == Lines{"NOOP"});
  world.pass(22'999ms);
  CHECK(world.is_open(1));
  world.pass(200ms);
  CHECK_FALSE(world.is_open(1));
  CHECK(world.broker->counters().expired == 1);
}

TEST_CASE("what came while the broker was held up saves a client from being dropped") {
  World world;
  world.join(1, "a", {}, "1000");
  world.now += 60s;
  world.broker->tick(world.now);
  world.say(1, {"NOOP"});
  world.pass(500ms);
  CHECK(world.is_open(1));
  world.now += 60s;
  world.broker->tick(world.now);
  world.pass(500ms);
  CHECK_FALSE(world.is_open(1));
}

TEST_CASE("a client without a TTL is never spoken to, and dropped when it was idle for too long") {
  World world;
  world.open(1, "a");
  world.say(1, {"CONNECT", "ID", "1"});
  world.heard(1);
  world.pass(99s);
  CHECK(world.heard(1).empty());
  CHECK(world.is_open(1));
  world.pass(2s);
  CHECK_FALSE(world.is_open(1));
}

TEST_CASE("a second connection of a client takes its session over, and the first one is closed") {
  World world;
  world.join(1, "a", {"t"});
  world.join(3, "b");
  world.open(2, "a");
  CHECK_FALSE(world.is_open(1));
  world.broker->closed(1, gorgone::Error{"as it was asked"}, {}, world.now);
  world.pass(200ms);
  CHECK(world.heard(2) == Lines{"NOOP"});
  world.put(3, "t", "x");
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC t | x"});
}

TEST_CASE("a routing id in use under one key is not given to another key") {
  World world;
  world.join(1, "a", {"t"});
  Peer thief;
  thief.routing_id = "a";
  thief.key = "another";
  CHECK_FALSE(world.broker->admit(thief).has_value());
  world.open(2, "a", "another");
  CHECK_FALSE(world.is_open(2));
  CHECK(world.is_open(1));
}

TEST_CASE("a CONNECT on a new connection renews the session: topics that are not asked for again end") {
  World world;
  world.join(1, "a", {"old", "both"});
  world.join(3, "b");
  world.lose(1);
  world.put(3, "old", "1");
  world.put(3, "both", "2");
  world.open(2, "a");
  world.say(2, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.say(2, {"SUB", "ID", "2", "", "both", "new"});
  CHECK(world.heard(2) == Lines{"OK ID 1", "OK ID 2"});
  world.pass(200ms);
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC both | 2"});
  world.put(3, "old", "3");
  world.pass(14s);
  CHECK(world.broker->topics().subscriptions() == 3);
  world.say(2, {"NOOP"});
  world.pass(1s);
  CHECK(world.heard(2) == Lines{"NOOP"});
  CHECK(world.broker->counters().session_over == 2);
  CHECK(world.broker->topics().subscriptions() == 2);
  CHECK(world.broker->topics().size() == 2);
}

TEST_CASE("a client of before a restart that subscribes late, or publishes first, loses nothing that waited for it") {
  World world;
  world.join(1, "a", {"t", "u"});
  world.join(3, "b");
  world.lose(1);
  world.put(3, "t", "1");
  world.put(3, "u", "2");
  world.open(2, "a");
  world.say(2, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.say(2, {"PUT", "TOPIC", "elsewhere", "", "x"});
  world.pass(10s);
  world.put(3, "t", "3");
  CHECK(world.heard(2) == Lines{"OK ID 1"});
  world.say(2, {"SUB", "ID", "2", "", "t"});
  world.put(3, "t", "4");
  world.pass(10s);
  CHECK(world.heard(2) == Lines{"OK ID 2", "MESSAGE TOPIC t | 1", "MESSAGE TOPIC t | 3", "MESSAGE TOPIC t | 4"});
  world.say(2, {"SUB", "", "u"});
  world.put(3, "u", "5");
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC u | 2", "MESSAGE TOPIC u | 5"});
  CHECK(world.broker->counters().session_over == 0);
}

TEST_CASE("what waited on a topic that a client unsubscribes instead of subscribing again is lost and counted") {
  World world;
  world.join(1, "a", {"t", "u"});
  world.join(3, "b");
  world.lose(1);
  world.put(3, "t", "1");
  world.open(2, "a");
  world.say(2, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.say(2, {"SUB", "ID", "2", "", "u"});
  world.say(2, {"UNSUB", "ID", "3", "", "t"});
  world.pass(16s);
  CHECK(world.broker->counters().session_over == 1);
  CHECK(world.broker->clients().session("a")->backlog == nullptr);
}

TEST_CASE("messages wait for a client that has lost its connection, until it is back or its TTL is over") {
  World world;
  world.join(1, "a", {"t"}, "1000");
  world.join(3, "b", {}, "60000");
  world.lose(1);
  world.put(3, "t", "x");
  world.pass(500ms);
  world.open(2, "a");
  world.pass(200ms);
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC t | x"});
  world.lose(2);
  world.put(3, "t", "y");
  world.pass(2s);
  CHECK(world.broker->counters().session_over == 1);
  CHECK(world.broker->clients().session("a") == nullptr);
}

TEST_CASE("DISCONNECT ends the session and not the connection, which may CONNECT again") {
  World world;
  world.join(1, "a", {"t"});
  world.say(1, {"DISCONNECT"});
  CHECK(world.is_open(1));
  CHECK(world.broker->clients().sessions() == 0);
  CHECK(world.broker->topics().size() == 0);
  world.say(1, {"CONNECT", "ID", "1"});
  CHECK(world.heard(1) == Lines{"OK ID 1"});
}

TEST_CASE("CONNECT, SUB and UNSUB are answered when the session is kept, in their order, and nothing comes before the answer") {
  World world;
  world.join(2, "publisher");
  world.is_disk_slow = true;
  world.open(1, "a");
  world.say(1, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.say(1, {"SUB", "ID", "2", "", "t", "u"});
  world.say(1, {"UNSUB", "ID", "3", "", "u"});
  world.say(1, {"UNSUB", "ID", "4", "", "was never there"});
  world.put(2, "t", "x");
  world.pass(1s);
  CHECK(world.heard(1).empty());
  CHECK(world.to_be_kept.size() == 3);
  world.disk_goes_on();
  CHECK(world.heard(1) == Lines{"OK ID 1", "OK ID 2", "OK ID 3", "OK ID 4"});
  world.pass(world.limits.grace);
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC t | x"});
  // What is not answered is not waited for.
  world.kept_at_once.clear();
  world.say(1, {"SUB", "", "v"});
  CHECK(world.to_be_kept.empty());
  CHECK(world.kept_at_once.contains("a"));
  world.say(1, {"SUB", "ID", "5", "", "w"});
  world.lose(1);
  world.disk_goes_on();
  CHECK(world.heard(1).empty());
}

TEST_CASE("a session is restored from its record: its client is served without CONNECT, and a stranger is not") {
  World before;
  before.join(1, "a", {"t", "u"}, "5000");
  CHECK(before.changed.contains("a"));
  const auto record = before.broker->record_of("a");
  REQUIRE(record.has_value());

  World after;
  REQUIRE(after.broker->restore("a", *record, after.now).has_value());
  after.join(3, "b");
  after.put(3, "u", "while it is away");
  after.open(1, "a");
  after.pass(200ms);
  CHECK(after.heard(1) == Lines{"MESSAGE TOPIC u | while it is away"});
  after.pass(10s);
  CHECK_FALSE(after.is_open(1));
  CHECK_FALSE(after.broker->record_of("a").has_value());
}

TEST_CASE("a topic that a session's record has twice is subscribed to once") {
  SessionRecord session{"key", "0.2", 5000, 0, {}, {"t", "u", "t"}};
  World world;
  REQUIRE(world.broker->restore("a", write_session(session), world.now).has_value());
  CHECK(world.broker->topics().subscriptions() == 2);
  world.open(1, "a");
  world.join(2, "b");
  world.pass(200ms);
  world.heard(1);
  world.put(2, "t", "x");
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC t | x"});
}

TEST_CASE(
    "of a session's topics those that are forbidden meanwhile are counted, and one with more than a client may have is not restored") {
  World before;
  before.join(1, "a", {"t", "u", "v"});
  const auto record = *before.broker->record_of("a");
  auto limits = World::quick_limits();
  limits.topics = 2;
  World after(limits);
  const auto restored = after.broker->restore("a", record, after.now);
  REQUIRE(restored.has_error());
  CHECK(restored.error().message == "it has 3 topics, expected 2 at most (topics_max)");
  CHECK(after.broker->topics().subscriptions() == 0);
  // What it may not have any more does not count.
  after.access.patterns = {"t", "u"};
  REQUIRE(after.broker->restore("a", record, after.now).has_value());
  CHECK(after.broker->topics().subscriptions() == 2);
  CHECK(after.broker->counters().not_allowed == 1);
  CHECK(after.changed.contains("a"));
}

TEST_CASE("a session of a key that is revoked meanwhile is not restored") {
  World before;
  before.join(1, "a", {"t"});
  World after;
  after.access.refused_keys.insert("key");
  CHECK_FALSE(after.broker->restore("a", *before.broker->record_of("a"), after.now).has_value());
}

TEST_CASE("a client that gave itself no name has a session for as long as its connection") {
  World world;
  Peer peer;
  peer.routing_id = "drawn";
  peer.named_itself = false;
  world.broker->opened(1, peer, world.now);
  world.say(1, {"CONNECT", "ID", "1", "TTL", "30000"});
  CHECK_FALSE(world.broker->record_of("drawn").has_value());
  CHECK(world.broker->clients().sessions() == 1);
  world.lose(1);
  CHECK(world.broker->clients().sessions() == 0);
}
