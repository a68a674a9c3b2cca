#include "core/net/dialer.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <catch2/catch.hpp>
#include <support/loop_agent.hpp>

#include <atomic>

using namespace gorgone;
using boost::asio::ip::tcp;

namespace {

// Takes connections at a port and says nothing.
struct Mute {
  Mute(boost::asio::io_context& loop, const char* address, std::uint16_t port)
      : acceptor(loop, {boost::asio::ip::make_address(address), port}) {
    accept();
  }
  void accept() {
    acceptor.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
      if (error) return;
      taken.push_back(std::move(socket));
      accept();
    });
  }
  tcp::acceptor acceptor;
  std::vector<tcp::socket> taken;
};

struct Owner final : LinkOwner {
  std::vector<std::string> downs;
  void link_up() override {}
  void link_down(const Error& why) override { downs.push_back(why.code); }
  void link_received(Message) override {}
};

struct Fixture {
  boost::asio::io_context loop;
  test::RecordingJournal journal;
  Owner owner;
  Mute before{loop, "127.0.0.2", 0}, after{loop, "127.0.0.3", before.acceptor.local_endpoint().port()};
  std::shared_ptr<std::atomic<bool>> has_moved = std::make_shared<std::atomic<bool>>(false);

  std::unique_ptr<Link> dial() {
    boost::asio::use_service<net::Resolver>(loop).set_ask([has_moved = has_moved](const std::string&) -> Result<net::Resolver::Addresses> {
      return net::Resolver::Addresses{boost::asio::ip::make_address(*has_moved ? "127.0.0.3" : "127.0.0.2")};
    });
    const auto key = wire::RsaPrivateKey::generate(1024);
    REQUIRE(key.has_value());
    auto keys = std::make_shared<const net::KeyRing>(net::KeyRing{*key, key->public_key(), {}, net::FingerprintMode::first});
    auto pool = [](const std::function<void()>& work) { work(); };
    DialSpec spec;
    spec.endpoint = "tcp://node.test:" + std::to_string(before.acceptor.local_endpoint().port());
    spec.routing_name = "gorgone-test";
    spec.node = "2";
    auto link = net::Dialer::make({loop, keys, journal, pool, 1 << 20, false}, spec, owner);
    REQUIRE(link.has_value());
    return std::move(*link);
  }
  template <class Done>
  void run_until(Done done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done() && std::chrono::steady_clock::now() < end) {
      loop.restart();
      loop.run_for(std::chrono::milliseconds(5));
    }
    REQUIRE(done());
  }
};

}  // namespace

TEST_CASE("an attempt at an address that a name no longer leads to gives way to the new one before its time is up") {
  Fixture f;
  const auto link = f.dial();
  f.run_until([&] { return !f.before.taken.empty(); });
  *f.has_moved = true;
  f.run_until([&] { return !f.after.taken.empty(); });
  // The attempt at the old one had not been given up, which is told.
  CHECK(f.owner.downs.empty());
  CHECK(f.before.taken.size() == 1);
}
