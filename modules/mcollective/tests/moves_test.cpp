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
  CHECK(world.backbone.told[0].since_us >= before);
  world.lose(1);
  CHECK(world.broker->sessions_here().empty());
  world.open(2, "web1 1");  // goes on without CONNECT
  CHECK(world.backbone.told.size() == 2);
  REQUIRE(world.broker->sessions_here().size() == 1);
  CHECK(world.broker->sessions_here()[0].since_us == world.backbone.told[1].since_us);
}

TEST_CASE("the session of a client that is away ends when it has come to another broker, and nothing waits for it any more") {
  World world(World::quick_limits(), true);
  world.kept.persistent.insert("q");
  world.join(1, "web1 1", {"t", "q"});
  world.join(2, "publisher");
  world.lose(1);
  world.put(2, "t", "before");
  world.broker->session_elsewhere({"web1 1", "key", now_us()}, world.now);
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
  const auto since = world.backbone.told.at(0).since_us;
  world.broker->session_elsewhere({"web1 1", "key", since - 1}, world.now);
  CHECK(world.is_open(1));
  world.broker->session_elsewhere({"web1 1", "another key", since + 1000}, world.now);
  CHECK(world.is_open(1));
  world.broker->session_elsewhere({"web2 1", "key", since + 1000}, world.now);
  CHECK(world.is_open(1));
  world.broker->session_elsewhere({"web1 1", "key", since + 1000}, world.now);
  CHECK_FALSE(world.is_open(1));
  CHECK(world.broker->clients().sessions() == 0);
}

TEST_CASE("places of sessions come out of a message as they went in, and one that was cut off is none") {
  const std::vector<SessionPlace> places{{"web1 1 #<Thread>", "key", 1795331138123456}, {std::string("\0x", 2), "", -1}, {"c", "k", 0}};
  const auto bytes = write_places(places, 0, 3);
  const auto read = read_places(bytes);
  REQUIRE(read.has_value());
  REQUIRE(read->size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK((*read)[i].routing_id == places[i].routing_id);
    CHECK((*read)[i].key == places[i].key);
    CHECK((*read)[i].since_us == places[i].since_us);
  }
  const auto first = write_places(places, 0, 1).size(), second = write_places(places, 0, 2).size();
  for (std::size_t cut = 1; cut < bytes.size(); ++cut)
    if (cut != first && cut != second) CHECK_FALSE(read_places(std::string_view(bytes).substr(0, cut)).has_value());
}
