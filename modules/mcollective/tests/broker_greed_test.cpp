// Clients that take what is there for others, without sockets.
#include <catch2/catch.hpp>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;

namespace {

std::string only(const std::vector<std::string>& lines) {
  return lines.size() == 1 ? lines[0] : "not one line but " + std::to_string(lines.size());
}

}  // namespace

TEST_CASE("one identity has a quarter of the places, and its own sessions make room for one more") {
  auto limits = World::quick_limits();
  limits.clients = 100;
  World world(limits);
  for (ConnectionId i = 1; i <= 25; ++i) world.join(i, "greedy " + std::to_string(i));
  world.join(30, "other");
  world.lose(30);
  world.open(26, "greedy 26");
  world.say(26, {"CONNECT", "ID", "1"});
  CHECK(only(world.heard(26)).starts_with("ERROR MESSAGE busy: there are 25 clients \"greedy\" already"));
  CHECK_FALSE(world.is_open(26));
  world.pass(1s);
  world.lose(3);
  world.pass(1s);
  world.lose(2);
  world.join(27, "greedy 27");
  CHECK(world.is_open(27));
  CHECK(world.broker->clients().session("greedy 3") == nullptr);
  CHECK(world.broker->clients().session("greedy 2") != nullptr);
  CHECK(world.broker->clients().session("other") != nullptr);
  world.open(102, "greedy 2");
  CHECK(world.is_open(102));
  for (ConnectionId i = 31; i <= 90; ++i) world.join(i, "c" + std::to_string(i));
  CHECK(world.broker->clients().sessions() == 86);
}

TEST_CASE("more names in one SUB or UNSUB than a client may have topics are answered ERROR, however often each is named") {
  auto limits = World::quick_limits();
  limits.topics = 10;
  World world(limits);
  world.join(1, "a", {"t"});
  for (const auto* verb : {"SUB", "UNSUB"}) {
    Frames command{verb, "ID", "1", ""};
    command.insert(command.end(), 11, "t");
    world.say(1, command);
    CHECK(only(world.heard(1)).starts_with("ERROR MESSAGE 11 topics, expected 1 to 10"));
    CHECK(world.broker->topics().subscriptions() == 1);
  }
}
