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
