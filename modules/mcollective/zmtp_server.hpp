#pragma once
// The listening side of ZeroMQ's transport, ZMTP 3 with the mechanism NULL or CURVE, as a ROUTER has it: what a client sends, from its
// greeting to its messages. Without I/O: fed with the bytes of a connection, it answers one step at a time. One instance for each
// connection. What is sent after the handshake is made by OutQueue.

#include <gorgone/result.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "curve_server.hpp"
#include "transport.hpp"

namespace gorgone::mcollective {

class ZmtpServer {
 public:
  struct Limits {
    std::size_t message_bytes_max = 0;
  };
  struct More {};  ///< all bytes are used: it needs more of them
  struct Send {
    std::string bytes;
  };
  /// compute() is to be called, on any thread, and then next() again; nothing else meanwhile.
  struct Compute {};
  /// It has proven its key (32 bytes; empty without CURVE): accept() or refuse() it, then next() again.
  struct Introduced {
    std::string routing_id, key;
  };
  struct Received {
    Frames frames;
  };
  struct Ping {
    std::string context;  ///< to be sent back in a PONG
  };
  struct Pong {
    std::string context;
  };
  /// The connection is of no more use. `answer`: to be sent before it is closed; may be empty.
  struct Failed {
    Error why;
    std::string answer;
  };
  using Step = std::variant<More, Send, Compute, Introduced, Received, Ping, Pong, Failed>;

  /// Without `keys`: NULL. They must stay until the handshake is over.
  ZmtpServer(const KeyPair* keys, Limits limits);
  ~ZmtpServer();

  /// To be sent as soon as the connection is there.
  std::string greeting() const;
  /// Takes what the next step needs off the front of `bytes`; what is left is for the next call.
  Step next(std::string_view& bytes);
  void compute();
  void accept();
  /// `code`: 300 (not now), 400 (never), as clients of ZeroMQ know it.
  void refuse(Error why, std::string_view code);

  bool is_ready() const { return state_ == State::ready; }
  /// It greeted with ZMTP 3.1 or later: it answers PING.
  bool answers_ping() const { return answers_ping_; }
  /// The key of what is sent to it, after accept(); nothing without CURVE.
  std::optional<BoxKey> sending_key() const { return sending_key_; }

 private:
  enum class State { greeting, hello, initiate, ready_command, introduced, ready, failed };
  struct Long;  // a frame that is longer than what is kept until it is whole

  std::optional<Step> take_greeting(std::string_view& bytes);
  std::optional<Step> take_frame(std::string_view& bytes);
  std::optional<Step> take_long(std::string_view& bytes);
  bool begin_long(std::string_view start, std::size_t head, unsigned flags, std::uint64_t body);
  std::optional<Step> on_frame(unsigned flags, std::string_view body);
  std::optional<Step> on_handshake(std::string_view body);
  std::optional<Step> on_curve_frame(std::string_view body);
  std::optional<Step> on_message_frame(bool more, std::string frame);
  std::optional<Step> on_command(std::string_view body);
  Step introduce(std::string_view properties, std::string key);
  bool take_nonce(std::string_view box);
  Error too_much(std::uint64_t frame) const;
  Step fail(std::string why, std::string_view code = {});

  const KeyPair* keys_;
  Limits limits_;
  State state_ = State::greeting;
  bool answers_ping_ = false;
  std::string pending_;  // the beginning of what has not come whole
  std::string command_;  // that compute() is about
  std::optional<Step> waiting_;
  std::unique_ptr<CurveServer> curve_;  // until the handshake is over
  std::optional<BoxKey> receiving_key_, sending_key_;
  std::uint64_t nonce_ = 0;
  std::unique_ptr<Long> long_;
  Frames message_;
  std::size_t message_bytes_ = 0;
};

}  // namespace gorgone::mcollective
