#include "core/net/zmq_socket.hpp"

#include <pthread.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>

#include "core/net/stranger_watch.hpp"
#include "tests/support/pace.hpp"

using namespace gorgone;
using namespace std::chrono_literals;

namespace {

// Signals for the test's thread, as many as it can take.
class Signals {
 public:
  Signals() {
    std::signal(SIGUSR2, [](int) {});
    thread_ = std::thread([this, whom = pthread_self()] {
      while (!is_over_) pthread_kill(whom, SIGUSR2);
    });
  }
  ~Signals() {
    is_over_ = true;
    thread_.join();
    std::signal(SIGUSR2, SIG_DFL);
  }

 private:
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("signals in busy moments cost no message of a ZeroMQ socket, nor end who reads or writes it") {
  constexpr int rounds = 20000;
  boost::asio::io_context loop;
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router), dealer(context, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::linger, 0);
  dealer.set(zmq::sockopt::routing_id, "gorgone-1");
  net::StrangerWatch::Owner owner{[](const net::Newcomers::Refusal&) {}, [](int) {}, [](int) {}, [] { return std::size_t{0}; }};
  int heard = 0;
  std::optional<net::ZmqSocket> server, client;
  std::optional<net::StrangerWatch> watch;  // ends before its socket
  watch.emplace(loop, context, router, net::StrangerLedger::Limits{std::uint64_t{1} << 20, 10}, net::Newcomers::Limits{30000, -1}, owner);
  router.bind("tcp://127.0.0.1:*");
  const auto endpoint = router.get(zmq::sockopt::last_endpoint);
  dealer.connect(endpoint);

  server.emplace(loop, std::move(router), net::ZmqSocket::Reading{[&server](const net::Frames& frames) {
                   const std::string echo(static_cast<const char*>(frames[1].data()), frames[1].size());
                   CHECK(server->send("gorgone-1", echo) == net::ZmqSocket::Sent::yes);
                 }});
  client.emplace(loop, std::move(dealer), net::ZmqSocket::Reading{[&](const net::Frames&) {
                   if (++heard < rounds) client->send({}, "again");
                   if (heard == rounds) loop.stop();
                 }});
  client->send({}, "first");
  watch->start(endpoint);
  const Signals signals;
  // A message that was lost ends all that come after it; how fast they come is the machine's.
  auto heard_at = std::chrono::steady_clock::now();
  while (heard < rounds && std::chrono::steady_clock::now() < heard_at + test::slowness() * 60s) {
    const int before = heard;
    watch->look();
    loop.run_for(1ms);
    loop.restart();
    if (heard > before) heard_at = std::chrono::steady_clock::now();
  }
  CHECK(heard == rounds);
}
