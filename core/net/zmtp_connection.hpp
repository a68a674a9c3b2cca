#pragma once
// One TCP connection to a ZeroMQ listener, on the loop and without libzmq, which would take two descriptors and up to 80 kB for it, keep to
// itself why it cannot connect, and connect again unasked. wire/zmtp decides what is said. It does not connect again. Lives on the loop.

#include <gorgone/flow_watch.hpp>
#include <gorgone/result.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace gorgone::net {

class ZmtpConnection {
 public:
  struct Spec {
    boost::asio::ip::tcp::endpoint peer;
    std::string routing_id;
    std::size_t frame_size_max;
    std::chrono::milliseconds quiet_max{0};  ///< after so long without a word of its own it sends a PING of ZeroMQ; 0: never
  };
  /// None is called from inside a call of the owner; each may destroy the connection. `lost` comes once, and nothing after it.
  struct Events {
    std::function<void()> connected;  ///< the peer is to greet now; may be empty
    std::function<void()> ready;
    std::function<void(std::string_view)> frame;
    std::function<void(const Error&)> lost;
  };

  /// Begins to connect at once.
  ZmtpConnection(boost::asio::io_context& loop, Spec spec, Events events);
  ~ZmtpConnection();
  ZmtpConnection(const ZmtpConnection&) = delete;

  /// An Error where it is not ready, or where the peer takes nothing and too much waits.
  Result<void> send(std::string_view frame);
  LinkFlow flow() const;
  /// What the connection waits for when it is not ready in time.
  Error delay() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gorgone::net
