#pragma once
// A ZeroMQ socket on the loop. ZMQ_FD is edge-triggered: it is read until nothing is left before it is waited for, and looked at
// again after each send. Lives on the loop; messages are handed out in bounded portions so that nothing else waits long.

#include <gorgone/result.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

namespace gorgone::net {

/// The first frames of a message; of one of very many, which nobody wants, the rest is counted and not kept.
struct Frames : std::vector<zmq::message_t> {
  static constexpr std::size_t kept_max = 4;
  std::size_t count = 0;         ///< of all of them
  std::uint64_t wire_bytes = 0;  ///< that those but the first took on the wire
  int connection = -1;           ///< the descriptor of the connection that the message came over, where Reading asks for it
};

/// Bytes that a frame takes on the wire (ZMTP 3): flags and length stand before it.
inline std::uint64_t wire_size(std::size_t frame_bytes) { return frame_bytes + (frame_bytes > 255 ? 9 : 2); }

/// Until no signal interrupts it: the library looks for one even where it does not wait. To take that for "nothing there" would lose the
/// edge.
template <class Call>
auto uninterrupted(const Call& call) {
  for (;;) {
    try {
      return call();
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) throw;
    }
  }
}

class ZmqSocket {
 public:
  struct Reading {
    std::function<void(Frames)> on_message;        ///< gets each message, whole; it may destroy the socket
    std::function<bool()> names_connections = {};  ///< before each portion: whether messages say over which connection they came
  };
  ZmqSocket(boost::asio::io_context& loop, zmq::socket_t socket, Reading reading);
  ~ZmqSocket();
  ZmqSocket(const ZmqSocket&) = delete;

  enum class Sent { yes, full, no_route };
  /// One frame, before it the routing id where it is not empty. Never waits.
  Sent send(std::string_view routing_id, std::string_view frame);

 private:
  struct Shared;
  static void wait(const std::shared_ptr<Shared>& shared);
  static void drain(const std::shared_ptr<Shared>& shared);
  static void post_drain(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
};

}  // namespace gorgone::net
