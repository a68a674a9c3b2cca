#pragma once
// Keeps the bounds of StrangerLedger on a listening ZeroMQ socket, which knows a largest size for each frame and none for a message of many
// or for all connections together: its monitor tells which connections there are, the kernel how much each has sent, and one that is too
// much is shut down, which the library takes for a peer that has gone. Lives on the loop, like the socket.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "core/net/memory_growth.hpp"
#include "core/net/newcomers.hpp"
#include "core/net/stranger_ledger.hpp"
#include "core/net/tcp_received.hpp"

namespace gorgone::net {

class StrangerWatch {
 public:
  struct Owner {
    std::function<void(const Newcomers::Refusal& refusal)> was_refused;  ///< by ZeroMQ, before it sent a whole message, or cut off here
    std::function<void(int connection)> has_ended;                       ///< or its number is another's now
    std::function<void(int connection)> is_gone;                         ///< and its number is nobody's
    std::function<std::size_t()> nodes;                                  ///< that may dial us
  };
  /// Begins before the socket is bound.
  StrangerWatch(boost::asio::io_context& loop, zmq::context_t& context, zmq::socket_t& socket, StrangerLedger::Limits limits,
                Newcomers::Limits newcomers, Owner owner);
  /// Before the socket is closed.
  ~StrangerWatch();
  StrangerWatch(const StrangerWatch&) = delete;

  /// The socket is bound to "tcp://address:port": connections of that port are looked after.
  void start(const std::string& endpoint);

  /// Reads what the monitor has to tell: before messages are read, so that their connections are known.
  void look();
  /// Tells of connections that ended a while ago without a whole message: when all messages that came have been read.
  void tell_ended();
  /// A message came whole over a connection and took so many bytes of it.
  void delivered(int connection, std::uint64_t wire_bytes) {
    ledger_.delivered(connection, wire_bytes);
    newcomers_.forget(connection);
  }
  /// A session has opened it.
  void known(int connection) { ledger_.known(connection); }
  /// What was written to a connection, where it is one of ours.
  std::optional<std::uint64_t> written(int connection) const;
  /// What both sides have of it, where it is one of ours.
  TcpMoved moved(int connection) const;

 private:
  void measure();
  void measure_growth();
  void ask_for_addresses(const std::set<int>& connections);
  void look_at(const std::vector<int>& connections);
  void cut(const std::vector<StrangerLedger::Cut>& list, const std::function<std::string(std::uint64_t bytes)>& why);
  void arm(std::chrono::milliseconds pause);
  bool is_ours(int connection) const;
  void wait_for_monitor();

  boost::asio::steady_timer timer_;
  void* socket_;
  zmq::socket_t monitor_;
  struct Descriptor;
  std::unique_ptr<Descriptor> readable_;
  StrangerLedger::Limits limits_;
  StrangerLedger ledger_;
  Newcomers newcomers_;
  MemoryGrowth growth_;
  std::chrono::steady_clock::time_point growth_again_{};
  std::vector<std::pair<std::chrono::steady_clock::time_point, std::uint64_t>> cut_lately_;  // with what it held
  Owner owner_;
  int port_ = 0;
  bool is_armed_ = false, is_quiet_ = false;
  std::uint64_t last_sum_ = 0;
  std::chrono::milliseconds pause_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::net
