// Clients that go from one broker of a backbone to another, without sockets.
#include <catch2/catch.hpp>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using Lines = std::vector<std::string>;

namespace {

std::int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

TEST_CASE("a client that comes is told to the other brokers, with its key and since when it is here") {
  World world(World::quick_limits(), true);
  const auto before = now_us();
  world.join(1, "web1 1");
  REQUIRE(world.backbone.told.size() == 1);
  CHECK(world.backbone.told[0].routing_id == "web1 1");
  CHECK(world.backbone.told[0].key == "key");
  CHECK(world.backbone.told[0].claim.number >= before);
  CHECK(world.backbone.told[0].claim.age_us == 0);
  CHECK_FALSE(world.backbone.told[0].claim.is_alone);
  world.lose(1);
  CHECK(world.broker->sessions_here(world.now).empty());
  world.open(2, "web1 1");  // goes on without CONNECT
  REQUIRE(world.backbone.told.size() == 2);
  CHECK(world.backbone.told[1].claim.number > world.backbone.told[0].claim.number);
  world.pass(3s);
  const auto here = world.broker->sessions_here(world.now);
  REQUIRE(here.size() == 1);
  CHECK(here[0].claim.number == world.backbone.told[1].claim.number);
  CHECK(here[0].claim.age_us == 3000000);
}

TEST_CASE("the session of a client that is away ends when it has come to another broker, and nothing waits for it any more") {
  World world(World::quick_limits(), true);
  world.kept.persistent.insert("q");
  world.join(1, "web1 1", {"t", "q"});
  world.join(2, "publisher");
  world.lose(1);
  world.put(2, "t", "before");
  world.broker->session_elsewhere({"web1 1", "key", {now_us() + 1000000, 0, false}}, world.now);
  CHECK(world.broker->counters().moved == 1);
  CHECK(world.backbone.wanted.empty());
  CHECK(world.broker->counters().session_over == 1);
  CHECK(world.kept.owners["q"] == "web1");
  CHECK_FALSE(world.broker->record_of("web1 1"));
  world.put(2, "t", "after");
  world.join(3, "web1 1", {"t"});
  CHECK(world.heard(3).empty());
}

TEST_CASE("of two connections of one client at two brokers the newer one stays") {
  World world(World::quick_limits(), true);
  world.join(1, "web1 1", {"t"});
  const auto number = world.backbone.told.at(0).claim.number;
  world.broker->session_elsewhere({"web1 1", "key", {number - 1, 0, false}}, world.now);
  CHECK(world.is_open(1));
  world.broker->session_elsewhere({"web1 1", "another key", {number + 1000, 0, false}}, world.now);
  CHECK(world.is_open(1));
  world.broker->session_elsewhere({"web2 1", "key", {number + 1000, 0, false}}, world.now);
  CHECK(world.is_open(1));
  world.broker->session_elsewhere({"web1 1", "key", {number + 1000, 0, false}}, world.now);
  CHECK_FALSE(world.is_open(1));
  CHECK(world.broker->clients().sessions() == 0);
}

TEST_CASE("a claim of before does not end the session of a client that has come since, also while it is away") {
  World world(World::quick_limits(), true);
  // The clock of the other broker is an hour ahead.
  const SessionPlace other{"web1 1", "key", {now_us() + 3600000000, 0, false}};
  world.broker->session_elsewhere(other, world.now);
  world.join(1, "web1 1", {"t"});
  world.join(2, "publisher");
  world.broker->session_elsewhere(other, world.now);
  CHECK(world.is_open(1));
  world.lose(1);
  world.put(2, "t", "waits");
  world.broker->session_elsewhere(other, world.now);
  CHECK(world.broker->counters().moved == 0);
  world.open(3, "web1 1");
  world.pass(world.limits.grace);
  CHECK(world.heard(3) == Lines{"MESSAGE TOPIC t | waits"});
}

TEST_CASE("claims of brokers that could not hear each other are compared by their ages") {
  for (const bool is_ours_alone : {true, false}) {
    World world(World::quick_limits(), true);
    world.backbone.is_deaf = is_ours_alone;
    world.join(1, "web1 1", {"t"});
    world.lose(1);
    world.pass(10s);
    const auto number = world.backbone.told.at(0).claim.number;
    world.broker->session_elsewhere({"web1 1", "key", {number + 3600000000, 11000000, !is_ours_alone}}, world.now);
    CHECK(world.broker->clients().sessions() == 1);
    world.broker->session_elsewhere({"web1 1", "key", {number - 3600000000, 9000000, !is_ours_alone}}, world.now);
    CHECK(world.broker->clients().sessions() == 0);
  }
}

TEST_CASE("a claim outlives a restart of its broker, and numbers go on behind it") {
  World before(World::quick_limits(), true), after(World::quick_limits(), true);
  const auto heard = now_us() + 3600000000;
  before.broker->session_elsewhere({"web2 1", "key", {heard, 0, false}}, before.now);
  before.join(1, "web1 1", {"t"});
  const auto record = before.broker->record_of("web1 1");
  REQUIRE(record);
  REQUIRE(after.broker->restore("web1 1", *record, after.now).has_value());
  after.broker->session_elsewhere({"web1 1", "key", {heard, 0, false}}, after.now);
  CHECK(after.broker->clients().sessions() == 1);
  after.open(1, "web1 1");
  REQUIRE(after.backbone.told.size() == 1);
  CHECK(after.backbone.told[0].claim.number > heard + 1);
  after.broker->session_elsewhere({"web1 1", "key", {INT64_MAX, 0, false}}, after.now);
  after.join(2, "web1 1", {"t"});
  CHECK(after.backbone.told.back().claim.number < heard + 1000000000);
}

TEST_CASE("a number at the end of what is believed does not keep a client's session at two brokers from then on") {
  World a(World::quick_limits(), true), b(World::quick_limits(), true);
  for (auto* world : {&a, &b})
    world->broker->session_elsewhere({"no such client", "key", {(std::int64_t{1} << 62) - 1, 0, false}}, world->now);
  auto* from = &a;
  auto* to = &b;
  from->join(1, "web1 1", {"t"});
  for (int moves = 0; moves < 3; ++moves, std::swap(from, to)) {
    from->pass(5s);
    to->join(static_cast<ConnectionId>(10 + moves), "web1 1", {"t"});
    from->broker->session_elsewhere(to->backbone.told.back(), from->now);
    CHECK(from->broker->clients().session("web1 1") == nullptr);
    CHECK(to->broker->clients().session("web1 1") != nullptr);
  }
}

TEST_CASE("pins come out of a message as they went in, and one that was cut off is none") {
  const Pins pins{{"web1", "key"}, {"a b\xff", "!key"}, {"web2", ""}};
  const auto bytes = write_pins(pins, 1000).at(0);
  CHECK(*read_pins(bytes) == pins);
  CHECK(*read_pins(write_pins({pins[1]}, 1000).at(0)) == Pins{pins[1]});
  CHECK(read_pins(std::string_view(bytes).substr(0, bytes.size() - 1)).has_error());
}

TEST_CASE("places of sessions come out of a message as they went in, and one that was cut off is none") {
  const std::vector<SessionPlace> places{
      {"web1 1 #<Thread>", "key", {1795331138123456, 17, true}}, {std::string("\0x", 2), "", {-1, -1, false}}, {"c", "k", {0, 0, false}}};
  const auto bytes = write_places(places, 1000).at(0);
  const auto read = read_places(bytes);
  REQUIRE(read.has_value());
  REQUIRE(read->size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK((*read)[i].routing_id == places[i].routing_id);
    CHECK((*read)[i].key == places[i].key);
    CHECK((*read)[i].claim.number == places[i].claim.number);
    CHECK((*read)[i].claim.age_us == places[i].claim.age_us);
    CHECK((*read)[i].claim.is_alone == places[i].claim.is_alone);
  }
  const auto first = write_places({places[0]}, 1000).at(0).size(), second = write_places({places[0], places[1]}, 1000).at(0).size();
  for (std::size_t cut = 1; cut < bytes.size(); ++cut)
    if (cut != first && cut != second) CHECK_FALSE(read_places(std::string_view(bytes).substr(0, cut)).has_value());
}

TEST_CASE("what brokers tell each other is cut into messages that the servers take") {
  Pins pins;
  for (int i = 0; i < 100; ++i) pins.emplace_back("web" + std::to_string(i), std::string(40, 'k'));
  pins.emplace_back(std::string(2000, 'w'), "too large by itself");
  Pins read;
  const auto messages = write_pins(pins, 500);
  CHECK(messages.size() < 20);
  for (const auto& message : messages) {
    CHECK(message.size() <= 500);
    for (const auto& pin : *read_pins(message)) read.push_back(pin);
  }
  pins.pop_back();
  CHECK(read == pins);
  CHECK(write_pins({}, 500).empty());
}
