#pragma once
// Keeps the bound of StrangerLedger on a listening ZeroMQ socket, which knows a largest size for each message and none for all connections
// together: its monitor tells which connections there are, the kernel how much each has sent, and one that is too much is shut down,
// which the library takes for a peer that has gone. Lives on the loop, like the socket.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <zmq.hpp>

#include "core/net/stranger_ledger.hpp"

namespace gorgone::net {

class StrangerWatch {
 public:
  using Tell = std::function<void(const std::string& peer, std::uint64_t bytes)>;
  /// `tell` gets each that was cut off. Begins before the socket is bound.
  StrangerWatch(boost::asio::io_context& loop, zmq::context_t& context, zmq::socket_t& socket, std::uint64_t bytes_max, Tell tell);
  /// Before the socket is closed.
  ~StrangerWatch();
  StrangerWatch(const StrangerWatch&) = delete;

  /// The socket is bound to "tcp://address:port": connections of that port are looked after.
  void start(const std::string& endpoint);

  /// Reads what the monitor has to tell: before messages are read, so that their connections are known.
  void look();
  bool has_strangers() const { return !ledger_.empty(); }
  /// A message came whole over a connection, of frames with so many bytes. A session opened it, or none did.
  void delivered(int connection, std::uint64_t frame_bytes) { ledger_.delivered(connection, frame_bytes); }
  void known(int connection) { ledger_.known(connection); }

 private:
  void measure();
  void arm(std::chrono::milliseconds pause);
  bool is_ours(int connection) const;
  void wait_for_monitor();

  boost::asio::steady_timer timer_;
  void* socket_;
  zmq::socket_t monitor_;
  struct Descriptor;
  std::unique_ptr<Descriptor> readable_;
  StrangerLedger ledger_;
  Tell tell_;
  int port_ = 0;
  bool is_armed_ = false;
  std::uint64_t last_sum_ = 0;
  std::chrono::milliseconds pause_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::net
