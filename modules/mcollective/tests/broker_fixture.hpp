#pragma once
// A transport on a loop of its own, and libzmq's clients for it. The clients are used on the test's thread, between turns of the loop.

#include <catch2/catch.hpp>
#include <zmq.hpp>
#include <zmq_addon.hpp>

#include "support/loop_agent.hpp"
#include "support/pace.hpp"
#include "transport.hpp"

namespace gorgone::mcollective::test {

using namespace std::chrono_literals;

inline SharedFrames shared(Frames frames) { return std::make_shared<const Frames>(std::move(frames)); }

/// Remembers what was told, in its order.
struct Broker {
  struct Client {
    Peer peer;
    std::vector<Frames> messages;
    std::vector<std::uint64_t> taken;
    std::optional<Error> closed;
    Transport::Waiting left{};
    int rooms = 0;
  };

  explicit Broker(bool curve, std::size_t message_bytes_max = std::size_t{65} << 20, std::function<void(Transport::Spec&)> change = {}) {
    Transport::Spec spec;
    spec.bind = {"tcp://127.0.0.1:0"};
    if (curve) spec.curve = keys;
    spec.message_bytes_max = message_bytes_max;
    spec.connections_max = 2000;
    spec.handshakes_max = 100;
    spec.handshake_timeout = 5s;
    if (change) change(spec);
    Transport::Events events;
    events.admit = [this](const Peer& peer) { return on_admit ? on_admit(peer) : Result<void>{}; };
    events.opened = [this](ConnectionId id, const Peer& peer) {
      clients[id].peer = peer;
      order.push_back(id);
    };
    events.message = [this](ConnectionId id, Frames frames) {
      if (on_message) return on_message(id, std::move(frames));
      clients[id].messages.push_back(std::move(frames));
    };
    events.closed = [this](ConnectionId id, const Error& why, Transport::Waiting left) {
      REQUIRE_FALSE(clients[id].closed);
      clients[id].closed = why;
      clients[id].left = left;
    };
    events.taken = [this](ConnectionId id, std::uint64_t number) { clients[id].taken.push_back(number); };
    events.room = [this](ConnectionId id) { ++clients[id].rooms; };
    transport = std::make_unique<Transport>(agent, std::move(spec), std::move(events));
    const auto started = transport->start();
    if (!started) FAIL(started.error().message);
  }

  std::string endpoint() const { return transport->endpoints().front(); }
  std::uint16_t port() const {
    const auto text = endpoint();
    return static_cast<std::uint16_t>(std::stoi(text.substr(text.rfind(':') + 1)));
  }

  template <class Done>
  bool runs_until(Done done, std::chrono::milliseconds limit = 10s) {
    const auto end = std::chrono::steady_clock::now() + limit * gorgone::test::slowness();
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      agent.run_for(2ms);
    }
    return true;
  }

  /// The clients in the order in which they came.
  ConnectionId id(std::size_t place = 0) const { return order.at(place); }
  Client& client(std::size_t place = 0) { return clients[order.at(place)]; }
  bool has(std::size_t count) const { return order.size() >= count; }

  KeyPair keys = new_key_pair();
  gorgone::test::LoopAgent agent;
  std::map<ConnectionId, Client> clients;
  std::vector<ConnectionId> order;
  std::function<Result<void>(const Peer&)> on_admit;
  std::function<void(ConnectionId, Frames)> on_message;
  std::unique_ptr<Transport> transport;
};

/// A client of libzmq.
struct Dealer {
  struct Options {
    std::string routing_id = {};
    std::optional<KeyPair> keys = new_key_pair();
    std::optional<std::string> server_key = {};  ///< another than the broker's
    zmq::socket_type type = zmq::socket_type::dealer;
    int receive_buffer = 0, high_water = 0;
  };

  explicit Dealer(Broker& broker) : Dealer(broker, Options{}) {}
  Dealer(Broker& broker, Options options) : socket(context(), options.type) {
    socket.set(zmq::sockopt::linger, 0);
    if (!options.routing_id.empty()) socket.set(zmq::sockopt::routing_id, options.routing_id);
    if (options.keys) {
      socket.set(zmq::sockopt::curve_serverkey, to_z85(options.server_key.value_or(broker.keys.public_key)));
      socket.set(zmq::sockopt::curve_publickey, to_z85(options.keys->public_key));
      socket.set(zmq::sockopt::curve_secretkey, to_z85(options.keys->secret_key));
    }
    if (options.receive_buffer > 0) socket.set(zmq::sockopt::rcvbuf, options.receive_buffer);
    if (options.high_water > 0) socket.set(zmq::sockopt::rcvhwm, options.high_water);
    socket.connect(broker.endpoint());
  }

  static zmq::context_t& context() {
    static zmq::context_t context(1);
    return context;
  }

  void send(const Frames& frames) {
    for (std::size_t i = 0; i < frames.size(); ++i)
      socket.send(zmq::buffer(frames[i]), i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
  std::optional<Frames> receive() {
    std::vector<zmq::message_t> parts;
    if (!zmq::recv_multipart(socket, std::back_inserter(parts), zmq::recv_flags::dontwait)) return {};
    Frames frames;
    for (const auto& part : parts) frames.emplace_back(part.to_string());
    return frames;
  }
  Frames receive_within(Broker& broker, std::chrono::milliseconds limit = 10s) {
    std::optional<Frames> frames;
    REQUIRE(broker.runs_until([&] { return (frames = receive()).has_value(); }, limit));
    return *frames;
  }

  zmq::socket_t socket;
};

}  // namespace gorgone::mcollective::test
