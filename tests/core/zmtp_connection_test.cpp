#include "core/net/zmtp_connection.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <catch2/catch.hpp>
#include <zmq.hpp>

#include "core/wire/zmtp.hpp"

using namespace gorgone;
using boost::asio::ip::tcp;
using Milliseconds = std::chrono::milliseconds;

namespace {

// A connection to a port of loopback, and what was heard of it.
struct Client {
  explicit Client(std::uint16_t port, std::size_t frame_size_max = std::size_t{64} << 20) {
    net::ZmtpConnection::Events events;
    events.ready = [this] { is_ready = true; };
    events.frame = [this](std::string_view frame) { frames.emplace_back(frame); };
    events.lost = [this](const Error& why) { losses.push_back(why); };
    connection = std::make_unique<net::ZmtpConnection>(
        loop, net::ZmtpConnection::Spec{{boost::asio::ip::address_v4::loopback(), port}, "gorgone-test", frame_size_max},
        std::move(events));
  }

  // Until `done`, ten seconds at most; `meanwhile` plays the other side.
  template <class Done, class Meanwhile>
  void run_until(Done done, Meanwhile meanwhile) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < end) {
      loop.restart();
      loop.run_for(Milliseconds(5));
      meanwhile();
    }
    REQUIRE(done());
  }
  template <class Done>
  void run_until(Done done) {
    run_until(done, [] {});
  }

  boost::asio::io_context loop;
  std::unique_ptr<net::ZmtpConnection> connection;
  bool is_ready = false;
  std::vector<std::string> frames;
  std::vector<Error> losses;
};

// libzmq's own listener, which sends back what it gets.
struct Router {
  Router() : socket(context, zmq::socket_type::router) {
    socket.set(zmq::sockopt::linger, 0);
    socket.bind("tcp://127.0.0.1:*");
    const auto endpoint = socket.get(zmq::sockopt::last_endpoint);
    port = static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
  }
  void echo() {
    zmq::message_t from, frame;
    while (socket.recv(from, zmq::recv_flags::dontwait)) {
      (void)socket.recv(frame);
      peer = from.to_string();
      socket.send(from, zmq::send_flags::sndmore);
      socket.send(frame, zmq::send_flags::none);
    }
  }

  zmq::context_t context;
  zmq::socket_t socket;
  std::uint16_t port;
  std::string peer;
};

}  // namespace

TEST_CASE("frames of every length go to a ROUTER of libzmq under the routing id, and come back in order") {
  Router router;
  Client client(router.port);
  client.run_until([&] { return client.is_ready; });
  std::vector<std::string> sent;
  for (const std::size_t size : {0, 1, 255, 256, 70000, 5000000}) sent.push_back(std::string(size, 'x'));
  for (const auto& frame : sent) REQUIRE(client.connection->send(frame).has_value());
  client.run_until([&] { return client.frames.size() == sent.size(); }, [&] { router.echo(); });
  CHECK(client.frames == sent);
  CHECK(router.peer == "gorgone-test");
  CHECK(client.losses.empty());
}

TEST_CASE("a frame that is larger than what may wait goes alone") {
  Router router;
  Client client(router.port);
  client.run_until([&] { return client.is_ready; });
  const std::string large((std::size_t{64} << 20) + 1, 'x');
  REQUIRE(client.connection->send(large).has_value());
  zmq::message_t from, frame;
  client.run_until([&] { return frame.size() == large.size(); },
                   [&] {
                     if (router.socket.recv(from, zmq::recv_flags::dontwait)) (void)router.socket.recv(frame);
                   });
}

TEST_CASE("a port where nobody listens is told as refused, once") {
  boost::asio::io_context loop;
  tcp::acceptor bound(loop);
  bound.open(tcp::v4());
  bound.bind({boost::asio::ip::address_v4::loopback(), 0});
  Client client(bound.local_endpoint().port());
  client.run_until([&] { return !client.losses.empty(); });
  client.loop.run_for(Milliseconds(20));
  REQUIRE(client.losses.size() == 1);
  CHECK(client.losses[0].code == "refused");
  CHECK_FALSE(client.connection->send("late").has_value());
}

TEST_CASE("a listener that goes away is told at once") {
  auto router = std::make_unique<Router>();
  Client client(router->port);
  client.run_until([&] { return client.is_ready; });
  router.reset();
  client.run_until([&] { return !client.losses.empty(); });
  CHECK(client.losses[0].code == "lost");
}

TEST_CASE("who takes connections and says nothing is told as mute, who speaks otherwise is told with what he said") {
  boost::asio::io_context loop;
  tcp::acceptor mute(loop, {boost::asio::ip::address_v4::loopback(), 0});
  Client client(mute.local_endpoint().port());
  auto accepted = mute.accept();
  client.loop.run_for(Milliseconds(20));
  CHECK_FALSE(client.is_ready);
  CHECK(client.connection->delay().code == "mute");
  CHECK(client.connection->delay().message.find("takes connections") != std::string::npos);
  boost::asio::write(accepted, boost::asio::buffer("HTTP/1.1 400 Bad Request\r\n", 26));
  client.run_until([&] { return !client.losses.empty(); });
  CHECK(client.losses[0].message.find("it greets with HTTP/1.1 400") != std::string::npos);
}

TEST_CASE("a frame beyond the limit ends the connection") {
  Router router;
  Client client(router.port, 1000);
  client.run_until([&] { return client.is_ready; });
  REQUIRE(client.connection->send(std::string(1001, 'x')).has_value());
  client.run_until([&] { return !client.losses.empty(); }, [&] { router.echo(); });
  CHECK(client.losses[0].message.find("1001 bytes") != std::string::npos);
  CHECK(client.frames.empty());
}

TEST_CASE("a connection may be destroyed by what it tells, and before it was made") {
  Router router;
  Client client(router.port);
  client.run_until([&] { return client.is_ready; });
  boost::asio::io_context loop;
  std::unique_ptr<net::ZmtpConnection> other;
  bool was_ready = false;
  net::ZmtpConnection::Events events;
  events.ready = [&] {
    was_ready = true;
    other.reset();
  };
  const net::ZmtpConnection::Spec spec{{boost::asio::ip::address_v4::loopback(), router.port}, "gorgone-other", 1000};
  other = std::make_unique<net::ZmtpConnection>(loop, spec, std::move(events));
  loop.run_for(std::chrono::seconds(5));
  CHECK(was_ready);
  loop.restart();
  other = std::make_unique<net::ZmtpConnection>(loop, spec, net::ZmtpConnection::Events{});
  other.reset();
  CHECK(loop.run() > 0);
}

TEST_CASE("a connection that has said nothing for so long sends a PING, and none while it speaks or where it is not to") {
  for (const auto quiet_ms : {100, 0}) {
    boost::asio::io_context loop;
    tcp::acceptor acceptor(loop, {boost::asio::ip::address_v4::loopback(), 0});
    net::ZmtpConnection::Spec spec{acceptor.local_endpoint(), "gorgone-test", 1000, std::chrono::milliseconds(quiet_ms)};
    net::ZmtpConnection::Events events;
    bool is_ready = false, speaks = true;
    events.ready = [&] { is_ready = true; };
    events.lost = [](const Error& why) { FAIL(why.message); };
    net::ZmtpConnection connection(loop, std::move(spec), std::move(events));
    tcp::socket peer = acceptor.accept();
    const std::string ready("\4\x1c\5READY\xbSocket-Type\0\0\0\6ROUTER", 30);
    boost::asio::write(peer, boost::asio::buffer(wire::ZmtpClient::greeting() + ready));
    peer.non_blocking(true);
    std::string got;
    auto run = [&](int ms) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
      while (std::chrono::steady_clock::now() < until) {
        loop.run_for(std::chrono::milliseconds(10));
        loop.restart();
        if (is_ready && speaks) (void)connection.send("word");
        std::array<char, 1000> bytes;
        boost::system::error_code nothing;
        got.append(bytes.data(), peer.read_some(boost::asio::buffer(bytes), nothing));
      }
    };
    run(600);
    REQUIRE(is_ready);
    CHECK(got.find("\4PING") == std::string::npos);
    speaks = false;
    run(600);
    CHECK((got.find("\4PING") != std::string::npos) == (quiet_ms > 0));
  }
}
