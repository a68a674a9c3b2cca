#include "broker_fixture.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;

TEST_CASE("a client of libzmq sends and receives messages of many frames, with CURVE and without") {
  const bool curve = GENERATE(false, true);
  Broker broker(curve);
  Dealer::Options options;
  options.routing_id = "web1 42 #<Thread:0x1>";
  if (!curve) options.keys.reset();
  Dealer client(broker, options);

  const Frames sent{
      "", "PUT", "TOPIC", "mcollective nodes web1", "", std::string(100000, 'b'), std::string(255, 'c'), std::string(256, 'd')};
  client.send(sent);
  REQUIRE(broker.runs_until([&] { return broker.has(1) && !broker.client().messages.empty(); }));
  CHECK(broker.client().messages.front() == sent);
  CHECK(broker.client().peer.routing_id == "web1 42 #<Thread:0x1>");
  CHECK(broker.client().peer.named_itself);
  CHECK(broker.client().peer.key == (curve ? to_z85(options.keys->public_key) : ""));
  CHECK(broker.client().peer.address.starts_with("127.0.0.1:"));

  CHECK(broker.transport->send(broker.id(), shared(sent)) == 1);
  CHECK(broker.transport->send(broker.id(), shared({"", "OK"})) == 2);
  CHECK(client.receive_within(broker) == sent);
  CHECK(client.receive_within(broker) == Frames{"", "OK"});

  broker.transport->close(broker.id(), "the test is over");
  CHECK_FALSE(broker.client().closed);
  REQUIRE(broker.runs_until([&] { return broker.client().closed.has_value(); }));
  CHECK(broker.client().closed->message == "the test is over");
  CHECK(broker.transport->send(broker.id(), shared({"late"})) == 0);
}

TEST_CASE("REQ and ROUTER talk to it as to a ROUTER, and who gives no routing id gets one that nobody can take") {
  Broker broker(true);
  Dealer::Options req, router;
  req.type = zmq::socket_type::req;
  router.type = zmq::socket_type::router;
  router.routing_id = "a-router";
  Dealer asking(broker, req);
  asking.send({"question"});
  REQUIRE(broker.runs_until([&] { return broker.has(1) && !broker.client().messages.empty(); }));
  CHECK(broker.client().messages.front() == Frames{"", "question"});
  CHECK_FALSE(broker.client().peer.named_itself);
  REQUIRE_FALSE(broker.client().peer.routing_id.empty());
  CHECK(broker.client().peer.routing_id[0] == '\0');
  broker.transport->send(broker.id(), shared({"", "answer"}));
  CHECK(asking.receive_within(broker) == Frames{"answer"});

  Dealer other(broker, router);
  REQUIRE(broker.runs_until([&] { return broker.has(2); }));
  CHECK(broker.client(1).peer.routing_id == "a-router");
  broker.transport->send(broker.id(1), shared({"x"}));
  const auto got = other.receive_within(broker);
  REQUIRE(got.size() == 2);
  CHECK(got[1] == "x");
}

TEST_CASE("clients with the wrong server key, without a key, or with one on a plain port do not come in, and are counted") {
  const bool curve = GENERATE(false, true);
  Broker broker(curve);
  Dealer::Options options;
  if (curve) {
    SECTION("another server key") { options.server_key = new_key_pair().public_key; }
    SECTION("no key") { options.keys.reset(); }
  }
  Dealer client(broker, options);
  client.send({"hello"});
  REQUIRE(broker.runs_until([&] { return broker.transport->counters().failed_handshakes > 0; }));
  broker.agent.run_for(300ms);
  CHECK(broker.order.empty());
  CHECK(broker.transport->counters().messages_in == 0);
}

TEST_CASE("a client that is refused does not come again by itself; one that is told to come later does") {
  Broker broker(true);
  int asked = 0;
  std::string code;
  broker.on_admit = [&](const Peer& peer) -> Result<void> {
    CHECK(peer.routing_id == "web1");
    ++asked;
    return Error{"not this one", code};
  };
  Dealer::Options options;
  options.routing_id = "web1";
  SECTION("refused") {
    Dealer client(broker, options);
    REQUIRE(broker.runs_until([&] { return asked > 0; }));
    broker.agent.run_for(700ms);
    CHECK(asked == 1);
    CHECK(broker.transport->counters().refused == 1);
  }
  SECTION("later") {
    code = "later";
    Dealer client(broker, options);
    REQUIRE(broker.runs_until([&] { return asked >= 3; }));
    broker.on_admit = {};
    CHECK(broker.runs_until([&] { return broker.has(1); }));
  }
  CHECK(broker.order.size() <= 1);
}

TEST_CASE("a message of 64 MB goes both ways") {
  const bool curve = GENERATE(false, true);
  Broker broker(curve);
  Dealer::Options options;
  if (!curve) options.keys.reset();
  Dealer client(broker, options);
  std::string body(std::size_t{64} << 20, '\0');
  for (std::size_t i = 0; i < body.size(); i += 4096) body[i] = static_cast<char>(i >> 12);
  client.send({"", "PUT", body});
  REQUIRE(broker.runs_until([&] { return broker.has(1) && !broker.client().messages.empty(); }, 60s));
  CHECK(broker.client().messages.front().back() == body);
  const auto message = shared(std::move(broker.client().messages.front()));
  broker.transport->send(broker.id(), message);
  CHECK((client.receive_within(broker, 60s) == *message));
  CHECK(broker.transport->waiting(broker.id()).messages == 0);
}

TEST_CASE("a message over the limit ends the connection of its sender and no other") {
  Broker broker(true, 1000);
  Dealer good(broker);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  Dealer bad(broker);
  bad.send({"", std::string(1001, 'x')});
  REQUIRE(broker.runs_until([&] { return broker.has(2) && broker.client(1).closed; }));
  CHECK(broker.client(1).closed->message.find("at most 1000") != std::string::npos);
  good.send({"", std::string(1000, 'x')});
  CHECK(broker.runs_until([&] { return broker.client().messages.size() == 1; }));
  CHECK_FALSE(broker.client().closed);
}

TEST_CASE("one message goes to many clients, and is held once while it waits") {
  Broker broker(true);
  std::vector<std::unique_ptr<Dealer>> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(std::make_unique<Dealer>(broker));
  REQUIRE(broker.runs_until([&] { return broker.has(50); }));
  const auto message = shared({"", "MESSAGE", std::string(1000, 'm')});
  for (int round = 0; round < 20; ++round) {
    for (const auto id : broker.order) broker.transport->send(id, message);
  }
  CHECK(message.use_count() > 1000);
  for (auto& client : clients) {
    for (int round = 0; round < 20; ++round) REQUIRE(client->receive_within(broker) == *message);
  }
  CHECK(message.use_count() == 1);
  CHECK(broker.transport->counters().messages_out == 1000);
}

TEST_CASE("a client that does not read is waited for without holding up another, and its room is told") {
  const bool curve = GENERATE(false, true);
  Broker broker(curve);
  Dealer::Options options;
  if (!curve) options.keys.reset();
  Dealer other(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  options.receive_buffer = 4096;
  options.high_water = 1;
  Dealer slow(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(2); }));

  const auto message = shared({"", "MESSAGE", std::string(100000, 'm')});
  constexpr std::size_t count = 300;
  for (std::size_t i = 0; i < count; ++i) broker.transport->send(broker.id(1), message);
  broker.transport->tell_room(broker.id(1), 4000000);
  broker.agent.run_for(200ms);
  const auto waiting = broker.transport->waiting(broker.id(1));
  CHECK(waiting.messages > 100);
  CHECK(waiting.bytes == waiting.messages * 100007);
  CHECK(broker.client(1).rooms == 0);
  broker.transport->send(broker.id(0), message);
  CHECK(other.receive_within(broker, 2s) == *message);
  CHECK(broker.transport->waiting(broker.id(0)).messages == 0);

  bool is_told_in_time = true;
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(slow.receive_within(broker) == *message);
    const bool has_room = broker.transport->waiting(broker.id(1)).bytes <= 2000000;
    is_told_in_time = is_told_in_time && has_room == (broker.client(1).rooms == 1);
  }
  CHECK(is_told_in_time);
  CHECK(broker.client(1).rooms == 1);
  CHECK(broker.transport->waiting(broker.id(1)).messages == 0);
}

TEST_CASE("from a paused client nothing more is read, not even what had come already; resumed, all comes in its order") {
  Broker broker(true);
  std::vector<std::string> seen;
  broker.on_message = [&](ConnectionId id, Frames frames) {
    seen.push_back(frames.at(0));
    if (seen.size() == 3 || seen.size() == 50) broker.transport->pause(id);
  };
  Dealer client(broker);
  std::vector<std::string> sent;
  for (int i = 0; i < 100; ++i) {
    sent.push_back(std::to_string(i));
    client.send({sent.back()});
  }
  REQUIRE(broker.runs_until([&] { return seen.size() >= 3; }));
  broker.agent.run_for(100ms);
  CHECK(seen.size() == 3);
  for (int i = 100; i < 3000; ++i) {
    sent.push_back(std::to_string(i));
    client.send({sent.back()});
  }
  broker.agent.run_for(50ms);
  broker.transport->resume(broker.id());
  broker.agent.run_for(100ms);
  CHECK(seen.size() == 50);
  broker.transport->resume(broker.id());
  CHECK(broker.runs_until([&] { return seen.size() >= 3000; }));
  CHECK(seen == sent);
}

TEST_CASE("what a client has taken is told after confirm(), and not before it has") {
  const bool curve = GENERATE(false, true);
  Broker broker(curve);
  Dealer::Options options;
  if (!curve) options.keys.reset();
  Dealer client(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  const auto id = broker.id();
  broker.transport->send(id, shared({"one"}));
  broker.transport->confirm(id);
  broker.transport->send(id, shared({"two"}));
  broker.transport->confirm(id);
  broker.transport->confirm(id);
  CHECK(broker.client().taken.empty());
  REQUIRE(broker.runs_until([&] { return !broker.client().taken.empty() && broker.client().taken.back() == 2; }));
  CHECK(broker.client().taken.front() == 1);
  CHECK(client.receive() == Frames{"one"});
  CHECK(client.receive() == Frames{"two"});
  broker.agent.run_for(50ms);
  CHECK(broker.client().taken.size() <= 3);
}

TEST_CASE("a client is closed after its queue, or after a second where it does not read") {
  Broker broker(true);
  Dealer::Options options;
  Dealer good(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  options.receive_buffer = 4096;
  options.high_water = 1;
  Dealer slow(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(2); }));
  const auto message = shared({std::string(200000, 'm')});
  for (const auto id : broker.order) {
    for (int i = 0; i < 50; ++i) broker.transport->send(id, message);
    broker.transport->close(id, "goodbye", Transport::Closing::after_queue);
    CHECK(broker.transport->send(id, message) == 0);
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) REQUIRE(good.receive_within(broker) == *message);
  REQUIRE(broker.runs_until([&] { return broker.client(1).closed.has_value(); }));
  CHECK(std::chrono::steady_clock::now() - begin > 500ms);
  REQUIRE(broker.client(0).closed);
  CHECK(broker.client(0).closed->message == "goodbye");
  CHECK(broker.client(1).closed->message == "goodbye");
  CHECK(broker.client(0).left.messages == 0);
  CHECK(broker.client(1).left.messages > 0);
}

TEST_CASE("an answer overtakes what waits for a client that does not read, and nothing but answers goes out while it is held") {
  Broker broker(true);
  Dealer::Options options;
  options.receive_buffer = 4096;
  options.high_water = 1;
  Dealer slow(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  const auto message = shared({"", "MESSAGE", std::string(5000, 'm')});
  constexpr int count = 500;
  for (int i = 0; i < count; ++i) broker.transport->send(broker.id(), message);
  broker.agent.run_for(200ms);
  REQUIRE(broker.transport->waiting(broker.id()).messages > 300);
  broker.transport->hold(broker.id(), true);
  broker.transport->answer(broker.id(), shared({"", "OK"}));
  int before = 0;
  while (slow.receive_within(broker) == *message) ++before;
  CHECK(before < 100);
  broker.agent.run_for(200ms);
  CHECK_FALSE(slow.receive().has_value());
  broker.transport->hold(broker.id(), false);
  for (int i = before; i < count; ++i) REQUIRE(slow.receive_within(broker) == *message);
}

TEST_CASE("messages that the kernel has and the client's has not are told as not taken, until they are") {
  Broker broker(true);
  Dealer::Options options;
  options.receive_buffer = 4096;
  options.high_water = 1;
  auto slow = std::make_unique<Dealer>(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  const auto message = shared({std::string(5000, 'm')});
  for (int i = 0; i < 100; ++i) {
    broker.transport->send(broker.id(), message);
    broker.agent.run_for(1ms);
  }
  const auto waiting = broker.transport->waiting(broker.id()), untaken = broker.transport->untaken(broker.id());
  CHECK(waiting.messages < 100);
  CHECK(untaken.messages > waiting.messages);
  CHECK(untaken.messages < 100);
  CHECK(untaken.sent == 100 - untaken.messages);
  SECTION("they are taken") {
    for (int i = 0; i < 100; ++i) REQUIRE(slow->receive_within(broker) == *message);
    CHECK(broker.runs_until([&] { return broker.transport->untaken(broker.id()).messages == 0; }));
  }
  SECTION("the client goes away") {
    slow.reset();
    REQUIRE(broker.runs_until([&] { return broker.client().closed.has_value(); }));
    CHECK(broker.client().left.messages > 0);
    CHECK(broker.client().left.messages <= untaken.messages);
  }
}

TEST_CASE("finish() sends what waits to who reads, and does not wait for who does not") {
  Broker broker(true);
  Dealer good(broker);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  Dealer::Options options;
  options.receive_buffer = 4096;
  options.high_water = 1;
  Dealer slow(broker, options);
  REQUIRE(broker.runs_until([&] { return broker.has(2); }));
  const auto message = shared({std::string(20000, 'm')});
  for (const auto id : broker.order)
    for (int i = 0; i < 100; ++i) broker.transport->send(id, message);
  bool is_done = false;
  const auto begin = std::chrono::steady_clock::now();
  boost::asio::co_spawn(broker.agent.loop(), broker.transport->finish(), [&](const std::exception_ptr&) { is_done = true; });
  for (int i = 0; i < 100; ++i) REQUIRE(good.receive_within(broker) == *message);
  REQUIRE(broker.runs_until([&] { return is_done; }));
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  CHECK(broker.client(0).left.messages == 0);
  CHECK(broker.client(1).left.messages > 0);
  // Nobody is let in any more.
  broker.agent.run_for(300ms);
  CHECK(broker.order.size() == 2);
}

TEST_CASE("more clients than are admitted wait until there is room") {
  Broker broker(true, 1000, [](Transport::Spec& spec) { spec.connections_max = 2; });
  Dealer one(broker), two(broker);
  REQUIRE(broker.runs_until([&] { return broker.has(2); }));
  Dealer three(broker);
  REQUIRE(broker.runs_until([&] { return broker.transport->counters().refused > 0; }));
  CHECK(broker.order.size() == 2);
  broker.transport->close(broker.id(0), "no more");
  CHECK(broker.runs_until([&] { return broker.has(3); }));
}

TEST_CASE("a port that is taken and an address that is none are told by the option's name") {
  Broker broker(false);
  const auto start = [&](const std::string& bind) {
    Transport::Spec spec;
    spec.bind = {bind};
    spec.connections_max = spec.handshakes_max = 1;
    Transport transport(broker.agent, std::move(spec), {});
    const auto started = transport.start();
    return started ? transport.endpoints().at(0) : started.error().message;
  };
  CHECK(start(broker.endpoint()).starts_with("modules.mcollective.bind: cannot listen at " + broker.endpoint()));
  for (const auto* text : {"tcp://*", "*:61616", "tcp://*:x", "tcp://*:65536", "tcp://host:1", "tcp://::1:1", "tcp://[127.0.0.1]:1", ""})
    CHECK(start(text).find("expected tcp://ADDRESS:PORT") != std::string::npos);
  CHECK(start("tcp://*:0").starts_with("tcp://*:"));
  CHECK(start("tcp://*:0") != "tcp://*:0");
}
