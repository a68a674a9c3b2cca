#pragma once
// The broker's ZeroMQ side: a listening ROUTER that speaks ZMTP 3 itself over plain TCP connections, with the mechanisms CURVE and NULL.
// libzmq's ROUTER can neither end one client's connection (a revoked key) nor say what a client has taken or how much waits for it.
// Knows nothing of mc0. Everything is called on the loop, and calls back on the loop, never from inside a call of its owner.

#include <gorgone/agent.hpp>
#include <gorgone/result.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "keys.hpp"

namespace gorgone::mcollective {

/// A message without the client's routing id: for mc0 the empty delimiter comes first.
using Frames = std::vector<std::string>;
/// One that goes to many clients is held once, and sealed for each when its socket takes it.
using SharedFrames = std::shared_ptr<const Frames>;

/// One connection; never used twice in the life of the daemon.
using ConnectionId = std::uint64_t;

struct Peer {
  std::string routing_id;  ///< as the client gave it; never empty: a client that gave none gets one of its own
  bool named_itself = true;
  std::string key;      ///< the client's CURVE key, 40 characters of Z85; empty without CURVE
  std::string address;  ///< "192.0.2.7:41222"
};

class Transport {
 public:
  struct Spec {
    std::vector<std::string> bind;  ///< "tcp://*:61616", "tcp://[::1]:0"
    std::optional<KeyPair> curve;   ///< nothing: mechanism NULL
    std::size_t message_bytes_max = 0, connections_max = 0, handshakes_max = 0;
    std::chrono::milliseconds handshake_timeout{};
  };
  struct Waiting {
    std::size_t messages = 0, answers = 0;  ///< not yet given to the kernel
    std::size_t bytes = 0;                  ///< of both
    std::uint64_t sent = 0;                 ///< the last message (see send) that is not among them
  };
  struct Events {
    /// A client has proven its key and given its routing id. An Error refuses it before it is told that it is welcome. libzmq's client
    /// gives up then, until its user takes another socket; with the code "later" it comes again by itself.
    std::function<Result<void>(const Peer&)> admit;
    std::function<void(ConnectionId, const Peer&)> opened;
    std::function<void(ConnectionId, Frames)> message;
    /// Comes once for each `opened`, also after close(). What was left is as untaken() says; nothing after close(at_once), which is
    /// told by untaken() before.
    std::function<void(ConnectionId, const Error& why, Waiting left)> closed;
    /// What was sent up to this number (see send) has been taken: the client answered a ZMTP PING sent behind it or, where it speaks a
    /// ZMTP without PING, its kernel has acknowledged the bytes. Asked for by confirm().
    std::function<void(ConnectionId, std::uint64_t number)> taken;
    /// The queue of a client that held more than `room_bytes` (see tell_room) is down to half of it.
    std::function<void(ConnectionId)> room;
  };
  struct Counters {
    std::uint64_t accepted = 0, refused = 0, failed_handshakes = 0, messages_in = 0, messages_out = 0, bytes_in = 0, bytes_out = 0;
  };
  Transport(Agent& agent, Spec spec, Events events);
  ~Transport();  ///< closes all, tells nobody
  Transport(const Transport&) = delete;

  /// Binds; an Error names the address and the option `bind`.
  Result<void> start();
  /// Takes nobody in any more, sends what waits to those who take it, and closes all; each is told as `closed`. Comes back after a second
  /// and a bit at the latest.
  asio::awaitable<void> finish();
  /// As bound, with the ports that were chosen for port 0.
  const std::vector<std::string>& endpoints() const;

  /// Queued without a bound: whoever sends looks at waiting() first. The number of the message, counted from 1 on each connection; 0 where
  /// the connection is gone.
  std::uint64_t send(ConnectionId to, SharedFrames frames);
  /// Goes ahead of all that send() was given and that is not on its way yet, and has no number.
  void answer(ConnectionId to, SharedFrames frames);
  /// While a client is held, nothing but answers is begun to be sent to it.
  void hold(ConnectionId whom, bool is_held);
  Waiting waiting(ConnectionId of) const;
  /// waiting(), and those messages that the client's kernel has not acknowledged: as exactly as is known, never too few.
  Waiting untaken(ConnectionId of) const;
  void confirm(ConnectionId of);
  void tell_room(ConnectionId of, std::size_t room_bytes);
  /// Reads no more from a client until resume(): TCP holds it back.
  void pause(ConnectionId of);
  void resume(ConnectionId of);
  /// Ends the connection at once, or when what waits has been given to the kernel, at the latest after a second.
  enum class Closing { at_once, after_queue };
  void close(ConnectionId which, const std::string& why, Closing when = Closing::at_once);

  const Counters& counters() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gorgone::mcollective
