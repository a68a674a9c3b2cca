#include "core/net/listener.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <list>

#include "tests/support/pace.hpp"

using namespace gorgone;
using boost::asio::ip::tcp;

namespace {

struct Fixture {
  boost::asio::io_context loop;
  zmq::context_t context;
  JournalFile journal{loop, ":memory:"};
  std::list<tcp::socket> held;

  std::shared_ptr<const net::KeyRing> keys() {
    auto key = wire::RsaPrivateKey::generate(1024);
    REQUIRE(key.has_value());
    auto public_key = key->public_key();
    return std::make_shared<net::KeyRing>(net::KeyRing{std::move(*key), std::move(public_key), {}, {}});
  }
  void run_for(std::chrono::milliseconds time) {
    auto guard = boost::asio::make_work_guard(loop);
    loop.restart();
    loop.run_for(time);
  }
  void connect(const std::string& endpoint, int count) {
    const auto port = static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
    for (int i = 0; i < count; ++i) {
      auto& socket = held.emplace_back(loop);
      socket.connect({boost::asio::ip::address_v4::loopback(), port});
      socket.non_blocking(true);
    }
  }
  // Reads the listener's greeting until there is no more.
  static bool is_open(tcp::socket& socket) {
    std::array<char, 256> bytes{};
    boost::system::error_code error;
    while (!error) socket.read_some(boost::asio::buffer(bytes), error);
    return error == boost::asio::error::would_block;
  }
  long open() { return std::count_if(held.begin(), held.end(), is_open); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "nodes that dialled before the start have their places among strangers before they are registered") {
  for (int node = 1; node <= 30; ++node) journal.keep_pull_identity(std::to_string(node), "gorgone-" + std::to_string(node));
  const auto inline_pool = [](const std::function<void()>& work) { work(); };
  net::Listener listener(loop, context, keys(), journal, {inline_pool, inline_pool}, [](Message, const Reply&) {});
  net::ListenerSpec spec;
  spec.path = "127.0.0.1:*";
  spec.max_message_size = spec.max_strangers_bytes = 1 << 20;
  spec.max_unread_bytes = 1 << 20;
  spec.max_strangers = 10;
  REQUIRE(listener.start(spec).has_value());
  bool is_read = false;  // by then the listener has its answers, too
  journal.read({}, [&](const Result<Rows>&) { is_read = true; });
  const auto until = std::chrono::steady_clock::now() + test::slowness() * std::chrono::seconds(20);
  while (!is_read && std::chrono::steady_clock::now() < until) run_for(std::chrono::milliseconds(5));
  connect(listener.endpoint(), 45);
  while (open() > 40 && std::chrono::steady_clock::now() < until) run_for(std::chrono::milliseconds(20));
  run_for(test::slowness() * std::chrono::milliseconds(300));
  CHECK(open() == 40);
}
