#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <string_view>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using Lines = std::vector<std::string>;

namespace {

std::string only(const Lines& lines) { return lines.size() == 1 ? lines[0] : "not one line but " + std::to_string(lines.size()); }

/// What is logged from here on; the log of a test goes to the standard error.
class LogLines {
 public:
  LogLines() { dup2(fileno(file_), STDERR_FILENO); }
  ~LogLines() {
    dup2(stderr_, STDERR_FILENO);
    close(stderr_);
    std::fclose(file_);
  }
  LogLines(const LogLines&) = delete;
  std::size_t count(const std::string& text) {
    std::size_t found = 0;
    std::rewind(file_);
    for (std::array<char, 2000> line{}; std::fgets(line.data(), line.size(), file_);)
      found += std::string_view(line.data()).find(text) != std::string_view::npos ? 1 : 0;
    return found;
  }

 private:
  std::FILE* file_ = std::tmpfile();
  int stderr_ = dup(STDERR_FILENO);
};

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

TEST_CASE("at clients_max the session that has been away for longest makes room for a new client") {
  auto limits = World::quick_limits();
  limits.clients = 3;
  World world(limits);
  for (ConnectionId i = 1; i <= 3; ++i) world.join(i, "c" + std::to_string(i), {"t"}, "100000");
  world.lose(2);
  world.pass(1s);
  world.lose(1);
  world.join(4, "new");
  CHECK(world.is_open(4));
  CHECK(world.broker->clients().session("c1") != nullptr);
  CHECK(world.broker->clients().session("c2") == nullptr);
  CHECK(world.broker->clients().session("c3") != nullptr);
  CHECK(world.broker->topics().subscriptions() == 2);
  CHECK_FALSE(world.broker->record_of("c2").has_value());
}

TEST_CASE("a client that is away is kept for idle_timeout at most, however long the TTL that it named") {
  World world;
  world.join(1, "a", {"t"}, "604800000");
  world.pass(1000s);
  REQUIRE(world.is_open(1));
  world.lose(1);
  world.pass(99s);
  CHECK(world.broker->clients().session("a") != nullptr);
  world.pass(2s);
  CHECK(world.broker->clients().session("a") == nullptr);
}

TEST_CASE("a restart does not prolong the time of a session whose client is away") {
  World before;
  before.join(1, "a", {"t"}, "50000");
  const auto here = before.broker->record_of("a");
  before.changed.clear();
  before.lose(1);
  CHECK(before.changed.contains("a"));
  before.now += 30s;
  before.broker->tick(before.now);
  const auto away = before.broker->record_of("a");
  before.changed.clear();
  before.open(2, "a");
  CHECK(before.changed.contains("a"));
  before.lose(2);
  before.now += 60s;
  const auto over = [&] {
    // As of a broker that died before it could end the session.
    before.broker->room(0, before.now);
    return before.broker->record_of("a");
  }();
  REQUIRE((here && away && over));

  World after;
  REQUIRE(after.broker->restore("a", *here, after.now).has_value());
  after.pass(45s);
  CHECK(after.broker->clients().session("a") != nullptr);
  World later;
  REQUIRE(later.broker->restore("a", *away, later.now).has_value());
  later.pass(15s);
  CHECK(later.broker->clients().session("a") != nullptr);
  later.pass(10s);
  CHECK(later.broker->clients().session("a") == nullptr);
  World last;
  CHECK_FALSE(last.broker->restore("a", *over, last.now).has_value());
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

TEST_CASE("of what the client's kernel has not got, only messages of queues are taken for kept, and answers for nothing") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "slow", {"t", "q"});
  world.join(3, "publisher");
  const auto offer = [&](std::uint64_t number) {
    world.broker->offered("q", KeptMessage{number, std::make_shared<const Frames>(Frames{"", "MESSAGE", "TOPIC", "q", "", "k"})},
                          world.now);
  };
  for (std::uint64_t i = 1; i <= 4; ++i) offer(i);
  REQUIRE(world.heard(1).size() == 4);
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 5; ++i) world.put(3, "t", "x");
  offer(5);
  world.say(1, {"PUT", "ID", "1", "TOPIC", "nobody", "", "x"});
  REQUIRE(world.outlet.connections[1].queued_answers.size() == 1);
  world.lose(1);
  CHECK(world.broker->counters().session_over == 5);
}

TEST_CASE("at a stop what waited for its moment is sent, and what nobody has got is summed up") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "away", {"t", "q"});
  world.join(2, "slow", {"t"});
  world.join(3, "asking", {"t"});
  world.join(4, "publisher");
  world.lose(1);
  world.outlet.connections[2].reads = false;
  world.say(3, {"SUB", "ID", "1", "", "u"});
  for (int i = 0; i < 3; ++i) world.put(4, "t", "x");
  world.heard(3);
  world.broker->stop(world.now);
  CHECK(world.heard(3).size() == 3);
  for (const ConnectionId each : {2U, 3U, 4U}) world.lose(each);
  CHECK(world.broker->lost_at_stop().messages == 6);
  CHECK(world.broker->lost_at_stop().clients == 2);
  // Sessions are kept as they were.
  CHECK(world.broker->clients().sessions() == 4);
  CHECK(world.broker->clients().session("slow")->connection == 2);
}

TEST_CASE("what is still being sent when a session ends is lost where its connection ends before that") {
  World world;
  Transport::Waiting left;
  left.messages = 3;
  left.answers = 2;
  world.broker->closed(9, gorgone::Error{"it did not read"}, left, world.now);
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

TEST_CASE("a publisher is not dropped for a silence in which it was held back, but for one after it") {
  auto limits = World::quick_limits();
  limits.patience = 10s;
  World world(limits);
  world.join(1, "slow", {"t"}, "100000");
  world.join(3, "publisher", {}, "1000");
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 12; ++i) world.put(3, "t", "x");
  REQUIRE(world.outlet.connections[3].is_paused);
  world.pass(10s);
  CHECK(world.is_open(3));
  CHECK_FALSE(world.outlet.connections[3].is_paused);
  SECTION("it speaks") {
    world.say(3, {"NOOP"});
    world.pass(1s);
    CHECK(world.is_open(3));
  }
  SECTION("it does not") {
    world.pass(2s);
    CHECK_FALSE(world.is_open(3));
  }
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
  connection.queued_answers.clear();
  world.pass(50ms);
  CHECK_FALSE(connection.is_paused);
}

TEST_CASE("a client whose queue is full of messages is read on, for its answers overtake them") {
  World world;
  world.join(1, "slow", {"t"});
  world.join(2, "publisher");
  world.outlet.connections[1].reads = false;
  for (int i = 0; i < 20; ++i) world.put(2, "t", "x");
  REQUIRE(world.outlet.connections[1].queued.size() == 16);
  world.say(1, {"UNSUB", "ID", "1", "", "t"});
  CHECK(world.outlet.connections[1].queued_answers.size() == 1);
  CHECK_FALSE(world.outlet.connections[1].is_paused);
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
  // One that the broker has a later one in place of, by which the client is let in.
  world.open(4, "b");
  world.say(4, {"CONNECT", "ID", "4", "CERTIFICATE", "older"});
  CHECK(only(world.heard(4)) == "OK ID 4");
}

TEST_CASE("connections that await a certificate are bounded, the oldest goes, and nobody who is let in") {
  auto limits = World::quick_limits();
  limits.clients = 100;
  World world(limits);
  world.join(1, "member", {"t"});
  world.access.awaiting_keys.insert("key");
  for (ConnectionId i = 100; i < 200; ++i) world.open(i, "stranger " + std::to_string(i));
  std::size_t open = 0;
  for (ConnectionId i = 100; i < 200; ++i) open += world.is_open(i) ? 1 : 0;
  CHECK(open <= 25);
  CHECK(open >= 20);
  CHECK_FALSE(world.is_open(100));
  CHECK(world.is_open(199));
  CHECK(world.is_open(1));
}

TEST_CASE("what a client can bring about at will is told once a minute for its address") {
  auto limits = World::quick_limits();
  limits.clients = 1;
  World world(limits);
  world.join(1, "a", {}, "600000");
  LogLines lines;
  for (ConnectionId i = 2; i < 12; ++i) {
    world.open(i, "b");
    if (i % 2 == 0)
      world.say(i, {"CONNECT", "ID", "1", "CERTIFICATE", "bad"});
    else
      world.say(i, {"CONNECT", "ID", "1"});
  }
  CHECK(lines.count("is not let in") == 1);
  world.pass(61s);
  world.open(12, "b");
  world.say(12, {"CONNECT", "ID", "1"});
  CHECK(lines.count("is not let in") == 2);
  CHECK(lines.count("9 more from 192.0.2.1 were not written") == 1);
}
