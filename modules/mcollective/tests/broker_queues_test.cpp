#include <catch2/catch.hpp>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using Lines = std::vector<std::string>;

namespace {

KeptMessage kept_message(std::uint64_t number, const std::string& body) {
  KeptMessage message;
  message.number = number;
  message.frames = std::make_shared<const Frames>(Frames{"", "MESSAGE", "TOPIC", "q", "", body});
  return message;
}

}  // namespace

TEST_CASE("a PUT on a persistent topic is answered when it is safe, and nothing else goes out before that") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "publisher", {"t"});
  world.join(2, "other");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.put(2, "t", "waits");
  world.say(1, {"SUB", "ID", "2", "", "u"});
  CHECK(world.heard(1).empty());
  REQUIRE(world.kept.puts.size() == 1);
  world.kept.puts[0].second({});
  CHECK(world.heard(1) == Lines{"OK ID 1", "OK ID 2"});
  world.pass(200ms);
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC t | waits"});
}

TEST_CASE("who asks on and on while a PUT is not stored yet is not read beyond some megabytes of answers, until it is") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "publisher");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  const std::string id(60000, 'i');
  for (int i = 0; i < 60; ++i) world.say(1, {"NOOP", "ID", id});
  CHECK_FALSE(world.outlet.connections[1].is_paused);
  for (int i = 0; i < 20; ++i) world.say(1, {"NOOP", "ID", id});
  CHECK(world.outlet.connections[1].is_paused);
  world.pass(1s);
  CHECK(world.outlet.connections[1].is_paused);
  world.kept.puts[0].second({});
  CHECK(world.heard(1).size() == 81);
  world.pass(200ms);
  CHECK_FALSE(world.outlet.connections[1].is_paused);
}

TEST_CASE("a PUT that cannot be kept is answered ERROR, with or without an ID") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "publisher");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.put(1, "q", "y");
  world.kept.puts[0].second(gorgone::Error{"the queue is full"});
  world.kept.puts[1].second(gorgone::Error{"the queue is full"});
  CHECK(world.heard(1) == Lines{"ERROR MESSAGE not kept: the queue is full ID 1", "ERROR MESSAGE not kept: the queue is full"});
  CHECK(world.broker->counters().kept_refused == 2);
}

TEST_CASE("who does not own a queue gets what that has no room for, at other brokers too where these take it") {
  World world(World::quick_limits(), true);
  world.kept.persistent.insert("q");
  world.join(1, "owner 1", {"q"});
  world.join(2, "listener 1", {"q"});
  world.join(3, "publisher 1");
  world.say(3, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.say(3, {"PUT", "ID", "2", "TOPIC", "q", "", "y"});
  world.kept.puts.at(0).second(gorgone::Error{"the queue is full", "full"});
  world.kept.puts.at(1).second(gorgone::Error{"the message is too large", "too_large"});
  CHECK(world.heard(1).empty());
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x", "MESSAGE TOPIC q | y"});
  CHECK(world.heard(3) == Lines{"ERROR MESSAGE not kept: the queue is full ID 1", "ERROR MESSAGE not kept: the message is too large ID 2"});
  CHECK(world.backbone.published == Lines{"q"});
}

TEST_CASE("a publisher of what is not stored yet is not read beyond some megabytes, until it is, and is not taken for silent") {
  auto limits = World::quick_limits();
  World world(limits);
  world.kept.persistent.insert("q");
  world.join(1, "publisher", {}, "1000");
  world.join(2, "other");
  const std::string megabyte(1 << 20, 'x');
  for (int i = 0; i < 3; ++i) world.put(1, "q", megabyte);
  CHECK_FALSE(world.outlet.connections[1].is_paused);
  for (int i = 0; i < 2; ++i) world.put(1, "q", megabyte);
  CHECK(world.outlet.connections[1].is_paused);
  world.put(2, "q", "x");
  CHECK_FALSE(world.outlet.connections[2].is_paused);
  world.pass(5s);
  CHECK(world.is_open(1));
  for (int i = 0; i < 3; ++i) world.kept.puts[static_cast<std::size_t>(i)].second({});
  CHECK(world.outlet.connections[1].is_paused);
  world.kept.puts[3].second({});
  CHECK_FALSE(world.outlet.connections[1].is_paused);
  world.pass(2s);
  CHECK_FALSE(world.is_open(1));
  world.kept.puts[4].second({});
}

TEST_CASE("a topic whose subscribers own no queue because too many do is as an ordinary one, until one of them does") {
  World world;
  world.kept.persistent.insert("q");
  world.kept.is_full = true;
  world.join(1, "a 1", {"q"});
  world.join(2, "publisher");
  for (int i = 0; i < 3; ++i) world.say(2, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  CHECK(world.kept.puts.empty());
  CHECK(world.heard(1).size() == 3);
  CHECK(world.heard(2) == Lines{"OK ID 1", "OK ID 1", "OK ID 1"});
  world.kept.is_full = false;
  world.broker->queue_is_free("q", world.now);
  world.put(2, "q", "kept");
  CHECK(world.kept.puts.size() == 1);
}

TEST_CASE("what was asked before DISCONNECT is answered before it") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "publisher");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.say(1, {"DISCONNECT", "ID", "2"});
  CHECK(world.heard(1).empty());
  world.kept.puts[0].second({});
  CHECK(world.heard(1) == Lines{"OK ID 1", "OK ID 2"});
}

TEST_CASE("an answer that comes after its client has gone does nothing") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "publisher");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.lose(1);
  world.open(2, "publisher");
  world.pass(200ms);
  world.heard(2);
  world.kept.puts[0].second({});
  CHECK(world.heard(2).empty());
}

TEST_CASE("an ERROR that nobody waits for does not come while an answer is waited for") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "publisher");
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.say(1, {"PUT"});
  world.say(1, {"PUT", "ID", "2", "TOPIC", "q", "", "x"});
  world.kept.puts[0].second({});
  CHECK(world.heard(1) == std::vector<std::string>{"OK ID 1"});
  world.kept.puts[1].second({});
  const auto heard = world.heard(1);
  REQUIRE(heard.size() == 2);
  CHECK(heard[0] == "OK ID 2");
  CHECK(heard[1].starts_with("ERROR MESSAGE PUT without a topic"));
}

TEST_CASE("an answer that comes after the broker has stopped gets nowhere, for there is no transport any more") {
  World world(World::quick_limits(), true);
  world.kept.persistent.insert("q");
  world.join(1, "publisher", {"q"});
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "x"});
  world.put(1, "q", "y");
  world.broker->stop(world.now);
  world.outlet.is_gone = true;
  world.kept.puts[0].second(gorgone::Error{"the queue is full"});
  CHECK_NOTHROW(world.kept.puts[1].second({}));
  CHECK(world.backbone.published.empty());
  CHECK(world.broker->record_of("publisher").has_value());
}

TEST_CASE("the owner of a queue is offered its messages, and what its client has taken is told") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "a 1", {"q"});
  CHECK(world.kept.attached.contains("q"));
  world.broker->offered("q", kept_message(7, "x"), world.now);
  world.broker->offered("q", kept_message(8, "y"), world.now);
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC q | x", "MESSAGE TOPIC q | y"});
  auto& connection = world.outlet.connections[1];
  CHECK(std::exchange(connection.is_asked, false));
  world.broker->taken(1, connection.number - 1, world.now);
  CHECK(world.kept.taken_by == std::vector<std::pair<std::string, std::uint64_t>>{{"q", 7}});
  CHECK(connection.is_asked);
  world.broker->taken(1, connection.number, world.now);
  CHECK(world.kept.taken_by.size() == 2);
}

TEST_CASE("a queue is left when its owner's connection is lost, and taken up again when it is back") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "a 1", {"q"});
  world.broker->offered("q", kept_message(7, "x"), world.now);
  world.lose(1);
  CHECK_FALSE(world.kept.attached.contains("q"));
  world.open(2, "a 1");
  CHECK(world.kept.attached.contains("q"));
  world.broker->offered("q", kept_message(7, "x"), world.now);
  CHECK(world.heard(2).empty());
  world.pass(200ms);
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x"});
}

TEST_CASE("subscribers who do not own the queue have its messages while they are there, the owner has them once") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "owner", {"q"});
  world.join(2, "second", {"q"});
  world.join(3, "publisher");
  world.put(3, "q", "x");
  CHECK(world.heard(2).empty());
  world.kept.puts[0].second({});
  CHECK(world.heard(1).empty());
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x"});
}

TEST_CASE("the owner that unsubscribes leaves its queue to the next, one that is dropped does not") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "owner", {"q"}, "60000");
  world.join(2, "second", {"q"}, "60000");
  SECTION("unsubscribed") {
    world.say(1, {"UNSUB", "ID", "1", "", "q"});
    CHECK(world.kept.owners.at("q") == "second");
    CHECK(world.kept.attached.contains("q"));
  }
  SECTION("disconnected") {
    world.say(1, {"DISCONNECT"});
    CHECK(world.kept.owners.at("q") == "owner");
    CHECK_FALSE(world.kept.attached.contains("q"));
  }
}

TEST_CASE("a queue whose owner has been away for too long goes to who subscribes to it meanwhile") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "gone", {"q"});
  world.join(2, "here", {"q"});
  world.say(1, {"DISCONNECT"});
  CHECK_FALSE(world.kept.attached.contains("q"));
  world.kept.owners.clear();
  world.broker->queue_is_free("q", world.now);
  world.broker->queue_is_free("unknown", world.now);
  CHECK(world.kept.owners.at("q") == "here");
  world.broker->offered("q", kept_message(7, "x"), world.now);
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x"});
}

TEST_CASE("an owner that is slow to subscribe again after CONNECT is still the owner of its queue, and hears nothing of it before") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "owner", {"q"});
  world.join(2, "second", {"q"}, "100000");
  world.lose(1);
  world.open(3, "owner");
  world.broker->offered("q", kept_message(7, "x"), world.now);
  world.say(3, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.pass(5s);
  CHECK(world.heard(3) == Lines{"OK ID 1"});
  SECTION("it does") {
    world.say(3, {"SUB", "ID", "2", "", "q"});
    world.pass(200ms);
    CHECK(world.heard(3) == Lines{"OK ID 2", "MESSAGE TOPIC q | x"});
  }
  SECTION("it never does: the queue is left, and nothing of it counts as lost") {
    world.pass(11s);
    CHECK_FALSE(world.kept.attached.contains("q"));
    CHECK(world.broker->counters().session_over == 0);
  }
  CHECK(world.kept.owners.at("q") == "owner");
}

TEST_CASE("of two clients of one identity the newer one is offered its queue") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "a 1", {"q"});
  world.broker->offered("q", kept_message(7, "x"), world.now);
  const auto number = world.outlet.connections[1].number;
  world.join(2, "a 2", {"q"});
  world.broker->offered("q", kept_message(7, "x"), world.now);
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x"});
  world.broker->taken(1, number, world.now);
  CHECK(world.kept.taken_by.empty());
  world.say(2, {"DISCONNECT"});
  CHECK(world.kept.attached.contains("q"));
}

TEST_CASE("a client whose queue turns out to be somebody else's is a subscriber like any other") {
  World world;
  world.kept.persistent.insert("q");
  world.join(1, "a", {"q"});
  world.join(2, "publisher");
  world.broker->not_owner("q", "b", "a", world.now);
  world.broker->offered("q", kept_message(7, "x"), world.now);
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC q | x"});
  world.broker->not_owner("q", "a", "c", world.now);
  world.broker->offered("q", kept_message(8, "y"), world.now);
  CHECK(world.heard(1).empty());
  world.put(2, "q", "z");
  world.kept.puts[0].second({});
  CHECK(world.heard(1) == Lines{"MESSAGE TOPIC q | z"});
}

TEST_CASE("a client whose identity has its queue under another key is a subscriber like any other, and the queue stays where it is") {
  World world;
  world.kept.persistent.insert("q");
  world.kept.is_unsure = true;
  world.join(1, "a 1", {"q"});
  world.broker->not_owner("q", "a", "", world.now);
  world.broker->offered("q", kept_message(7, "x"), world.now);
  CHECK(world.heard(1).empty());
  world.kept.attached_by.clear();
  world.say(1, {"UNSUB", "ID", "u", "", "q"});
  CHECK(world.kept.attached_by.empty());
}

TEST_CASE("an owner that takes a new connection keeps its queue though another subscriber is here") {
  World world;
  world.kept.persistent.insert("q");
  world.kept.is_unsure = true;
  world.join(1, "a 1", {"q"});
  world.join(2, "b", {"q"});
  world.open(3, "a 1");
  CHECK(world.kept.attached_by.at("q") == "a");
  world.broker->offered("q", kept_message(7, "x"), world.now);
  world.pass(200ms);
  CHECK(world.heard(3) == Lines{"MESSAGE TOPIC q | x"});
}

TEST_CASE("the owner of a queue is asked when another one, who came first, turns out not to be") {
  World world;
  world.kept.persistent.insert("q");
  world.kept.is_unsure = true;
  world.join(1, "b", {"q"});
  world.join(2, "a", {"q"});
  REQUIRE(world.kept.attached_by.at("q") == "b");
  SECTION("it is here") {
    world.broker->not_owner("q", "b", "a", world.now);
    CHECK(world.kept.attached_by.at("q") == "a");
    world.broker->offered("q", kept_message(7, "x"), world.now);
    CHECK(world.heard(1).empty());
    CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x"});
  }
  SECTION("it is at another broker") {
    world.broker->not_owner("q", "b", "c", world.now);
    CHECK(world.kept.attached_by.at("q") == "b");
  }
}

TEST_CASE("a client that gave itself no name owns no queue, for its name may be another's after a restart") {
  World world;
  world.kept.persistent.insert("q");
  Peer peer;
  peer.routing_id = std::string("\0drawn", 6);
  peer.named_itself = false;
  world.broker->opened(1, peer, world.now);
  world.say(1, {"CONNECT", "ID", "1", "TTL", "30000"});
  world.say(1, {"SUB", "ID", "2", "", "q"});
  CHECK(world.kept.owners.empty());
  world.join(2, "publisher");
  world.put(2, "q", "x");
  world.kept.puts[0].second({});
  world.pass(200ms);
  CHECK(world.heard(1) == Lines{"OK ID 1", "OK ID 2", "MESSAGE TOPIC q | x"});
}

TEST_CASE("the backbone is asked for topics from their first subscriber to their last") {
  World world(World::quick_limits(), true);
  world.join(1, "a", {"t", "u"});
  world.join(2, "b", {"t"});
  CHECK(world.backbone.wanted == std::set<std::string>{"t", "u"});
  world.say(1, {"UNSUB", "", "t", "u"});
  CHECK(world.backbone.wanted == std::set<std::string>{"t"});
  world.say(2, {"DISCONNECT"});
  CHECK(world.backbone.wanted.empty());
}

TEST_CASE("a PUT goes to local subscribers and to the backbone, and says where it did not get to others") {
  World world(World::quick_limits(), true);
  world.join(1, "a", {"t"});
  world.join(2, "b");
  world.put(2, "t", "x");
  CHECK(world.heard(1).size() == 1);
  CHECK(world.backbone.published == std::vector<std::string>{"t"});
  world.backbone.is_away = true;
  world.say(2, {"PUT", "ID", "1", "TOPIC", "t", "", "y"});
  CHECK(world.heard(1).size() == 1);
  CHECK(world.heard(2) == Lines{"ERROR MESSAGE 1 subscribers of this broker have it, other brokers do not: the backbone is away ID 1"});
}

TEST_CASE("a message that is too large for the backbone is counted as such, and told of once a minute for each client") {
  World world(World::quick_limits(), true);
  world.kept.persistent.insert("q");
  world.join(1, "a", {"t"});
  world.join(2, "b");
  world.backbone.is_narrow = true;
  const auto told = [&] { return world.broker->clients().at(1)->complained().oversize.told != Time{}; };
  for (int i = 0; i < 3; ++i) world.put(2, "t", "x");
  CHECK(world.heard(1).size() == 3);
  CHECK(world.broker->clients().at(2)->complained().oversize.untold == 2);
  CHECK_FALSE(told());
  world.say(1, {"PUT", "ID", "1", "TOPIC", "q", "", "y"});
  world.kept.puts.at(0).second(gorgone::Error{"the message is 9 bytes, max_payload of the NATS servers is 8", "too_large"});
  CHECK(world.heard(1) == Lines{"ERROR MESSAGE not kept: the message is 9 bytes, max_payload of the NATS servers is 8 ID 1"});
  CHECK(told());
  const auto& counters = world.broker->counters();
  CHECK(counters.too_large == 4);
  CHECK(counters.backbone_away + counters.kept_refused == 0);
  world.say(1, {"PUT", "ID", "2", "TOPIC", "q", "", "y"});
  world.lose(1);
  world.kept.puts.at(1).second(gorgone::Error{"the message is 9 bytes, max_payload of the NATS servers is 8", "too_large"});
  CHECK(counters.too_large == 5);
}

TEST_CASE("what comes from the backbone goes to subscribers, and not to the owner of a queue, who has it from there") {
  World world(World::quick_limits(), true);
  world.kept.persistent.insert("q");
  world.join(1, "owner", {"q"});
  world.join(2, "other", {"q"});
  world.broker->from_backbone("q", kept_message(1, "x").frames, world.now);
  CHECK(world.heard(1).empty());
  CHECK(world.heard(2) == Lines{"MESSAGE TOPIC q | x"});
}
