#include <malloc.h>

#include <catch2/catch.hpp>

#include "broker_world.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;

// A sanitizer's allocator counts elsewhere.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("an idle client with twenty topics takes less than two kilobytes of the broker's tables") {
  constexpr std::size_t count = 2000;
  World world;
  auto limits = world.limits;
  // An outlet that remembers nothing.
  struct Nowhere final : Outlet {
    std::uint64_t send(ConnectionId, SharedFrames) override { return 1; }
    Transport::Waiting waiting(ConnectionId) const override { return {}; }
    void answer(ConnectionId, SharedFrames) override {}
    void hold(ConnectionId, bool) override {}
    Transport::Waiting untaken(ConnectionId) const override { return {}; }
    void confirm(ConnectionId) override {}
    void pause(ConnectionId) override {}
    void resume(ConnectionId) override {}
    void close(ConnectionId, const std::string&, Transport::Closing) override {}
  } nowhere;
  Broker::Parts parts{nowhere,
                      world.access,
                      world.kept,
                      nullptr,
                      [](const std::string&) {},
                      [&world](const std::string&, const std::function<void(Time)>& done) { done(world.now); },
                      [] {}};
  Broker broker(std::move(parts), limits, world.log);
  const auto before = mallinfo2().uordblks;
  for (std::size_t i = 1; i <= count; ++i) {
    Peer peer;
    peer.routing_id = "host-" + std::to_string(10000 + i) + ".datacenter.example 12345 #<Thread:0x00007f0123456789>";
    peer.key = std::string(40, 'k');
    peer.address = "192.0.2.100:41234";
    broker.opened(i, peer, world.now);
    Frames sub{"", "SUB", "ID", "2", ""};
    for (int topic = 0; topic < 19; ++topic) sub.push_back("mcollective agent number " + std::to_string(topic));
    sub.push_back("mcollective nodes host-" + std::to_string(i));
    broker.message(i, {"", "CONNECT", "ID", "1", "TTL", "30000", "VERSION", "0.2"}, world.now);
    broker.message(i, std::move(sub), world.now);
  }
  const auto each = (mallinfo2().uordblks - before) / count;
  REQUIRE(broker.topics().subscriptions() == 20 * count);
  CHECK(each > 500);
  CHECK(each < 2048);
}
#endif
