#pragma once
// The connecting side of ZeroMQ's transport, ZMTP 3 with mechanism NULL, as far as a DEALER with messages of one frame needs it
// (docs/protocol.md). Without I/O: fed with the bytes of a connection, it answers with what to do. One instance for each connection.

#include <gorgone/result.hpp>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gorgone::wire {

class ZmtpClient {
 public:
  struct Send {
    std::string bytes;
  };
  struct Ready {};  ///< messages may be sent from now on
  struct Received {
    std::string frame;
  };
  struct Failed {  ///< the connection is of no more use; nothing follows
    Error why;
  };
  using Step = std::variant<Send, Ready, Received, Failed>;
  using Steps = std::vector<Step>;

  /// `frame_size_max` bounds what the peer may send.
  ZmtpClient(std::string routing_id, std::size_t frame_size_max) : routing_id_(std::move(routing_id)), frame_size_max_(frame_size_max) {}

  /// To be sent as soon as the connection is made.
  static std::string greeting();
  Steps on_bytes(std::string_view bytes);
  bool is_ready() const { return state_ == State::ready; }

  /// To be sent once it is ready: the peer answers it.
  static std::string ping();

  /// A message of one frame as it goes over the wire, appended to `out`.
  static void append_frame(std::string& out, std::string_view frame);

 private:
  enum class State { greeting, handshake, ready, failed };

  std::size_t take(std::string_view bytes, Steps& steps);
  std::size_t take_greeting(std::string_view bytes, Steps& steps);
  std::size_t take_frame(std::string_view bytes, Steps& steps);
  void on_command(std::string_view body, Steps& steps);
  std::size_t fail(Steps& steps, std::string why, std::string code = {});
  std::string ready_command() const;

  std::string routing_id_;
  std::size_t frame_size_max_;
  State state_ = State::greeting;
  std::string pending_;       // the beginning of what has not come whole
  bool is_dropping_ = false;  // inside a message of several frames
};

}  // namespace gorgone::wire
