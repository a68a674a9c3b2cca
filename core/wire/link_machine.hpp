#pragma once
// The connecting side of the protocol (docs/protocol.md, Handshake, Messages) without I/O: connect, greet, run, away, lost, again. Fed with
// frames, the results of key work and the clock, it answers with what to do. Used on the loop; times are milliseconds of a
// steady clock.

#include "core/wire/rsa.hpp"
#include "core/wire/session_cipher.hpp"
#include "core/wire/text.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gorgone::wire {

class LinkMachine {
 public:
  struct Config {
    std::string name;                        ///< in HELO and before the routing id's random suffix
    std::optional<RsaPublicKey> server_key;  ///< known beforehand: the server is not asked, another key is refused
    std::int64_t greet_ms = 5000;            ///< for each answer of a handshake, and before a missing connection is told
    std::int64_t patience_ms = 60000;        ///< for a connection; then its address is looked up again
    std::int64_t tell_ms = 10000;            ///< a connection that is still missing is told again: the reason may be another
    std::int64_t retry_ms_min = 500, retry_ms_max = 4000;
    std::int64_t refused_ms_max = 15000;  ///< between attempts at a peer that refuses us, or that we refuse
  };
  enum class State {
    closed,
    connecting,
    awaiting_peer,
    asking_key,
    checking_key,
    sending_helo,
    awaiting_key,
    opening_key,
    up,
    away,
    pausing
  };

  // What the link is to do.
  struct Connect {  ///< a new socket, with a new routing id; the old one is closed; then call on_connected()
  };
  struct Close {};
  struct TakeTurn {  ///< the session is lost and the connection is there: on_peer(true) when it is this link's turn to greet
  };
  struct Send {
    std::string frame;
  };
  struct CheckKey {  ///< compare with the pinned fingerprint, then call on_key_checked()
    RsaPublicKey key;
  };
  struct MakeHelo {  ///< encrypt HELO for this key, then call on_helo_made()
    RsaPublicKey key;
  };
  struct OpenKey {  ///< decrypt with the own private key, then call on_key_opened()
    std::string sealed;
  };
  struct Up {
    std::string peer_hostname;
  };
  struct Down {
    Error why;
    bool was_up;
  };
  struct NoPeer {  ///< there is no connection for some time now: find out why, and tell
  };
  struct Received {
    std::string text;
  };
  using Step = std::variant<Connect, Close, TakeTurn, Send, CheckKey, MakeHelo, OpenKey, Up, Down, NoPeer, Received>;
  using Steps = std::vector<Step>;

  explicit LinkMachine(Config config) : config_(std::move(config)) {}

  Steps start(std::int64_t now);
  Steps stop();
  /// The connection is given up and made anew at once.
  Steps reset(const std::string& why, std::int64_t now);
  Steps on_frame(std::string_view frame, std::int64_t now);
  Steps on_connected(Result<void> outcome, std::int64_t now);
  /// The connection is there, or gone: ZeroMQ makes it anew by itself. The session lives on where the peer still knows it.
  Steps on_peer(bool is_there, std::int64_t now);
  Steps on_key_checked(Result<void> outcome, std::int64_t now);
  Steps on_helo_made(Result<std::string> frame, std::int64_t now);
  Steps on_key_opened(Result<std::string> text, std::int64_t now);
  Steps on_clock(std::int64_t now);

  /// When on_clock() wants to be called; nothing while nothing is awaited.
  std::optional<std::int64_t> deadline() const { return deadline_; }
  State state() const { return state_; }
  /// Rises with each greeting: a result of work that was begun under another number is not to be handed in.
  std::uint64_t attempt() const { return attempt_; }
  /// Sealed under the session's key; nothing while the link is not up.
  std::optional<std::string> seal(std::string text, Form form = Form::base64) const;

 private:
  Steps greet(std::int64_t now);
  Steps greet_again(std::int64_t now);
  Steps begin_greeting(std::int64_t now);
  void await_peer(State state, std::int64_t now);
  Steps fail(Error why, std::int64_t now);
  Steps on_session_frame(std::string_view frame, std::int64_t now);
  void await(State state, std::int64_t now);

  Config config_;
  State state_ = State::closed;
  std::uint64_t attempt_ = 0;
  std::optional<std::int64_t> deadline_;
  std::optional<SessionCipher> cipher_;
  bool has_lost_session_ = false;  // over the connection that there is
  std::optional<RsaPublicKey> server_key_;
  std::string hostname_;
  std::int64_t pause_ms_ = 0, up_since_ = 0;
  std::int64_t patient_until_ = 0;  // without a connection
  int quick_losses_ = 0;            // sessions in a row that the server lost within a second
};

}  // namespace gorgone::wire
