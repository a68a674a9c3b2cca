#pragma once
// The listening side of the protocol (docs/protocol.md, Handshake, Messages) without I/O: fed with frames, results of RSA work and the
// clock, it answers with what to do. One instance per listener, used on the loop.

#include "core/wire/rsa.hpp"
#include "core/wire/session_cipher.hpp"
#include "core/wire/text.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace gorgone::wire {

/// A client's session. The previous key is kept for messages that were under way when the key changed, no older ones. The key of a
/// repeated handshake counts from the first message under it: who only replays a handshake that he overheard cannot use its key, and must
/// not end the session by it.
struct ServerSession {
  SessionCipher cipher;
  std::optional<SessionCipher> previous;
  std::int64_t key_time = 0;    ///< when the key was drawn, seconds
  std::int64_t last_time = 0;   ///< when the last message came
  std::int64_t saved_time = 0;  ///< the last_time that was saved
  std::optional<SessionCipher> offered = {};
  bool is_used = true;  ///< a message has come under its key
  std::uint64_t unused_place = 0;
};

class ServerSessions {
 public:
  struct Config {
    std::string hostname;
    std::string pubkey_pem;
    int keysize = 32;
    int padding = 1;
    std::int64_t rotation_s = 1440 * 60;
    std::int64_t idle_s = 24 * 3600;
    std::int64_t unused_s = 600;    ///< for a session under which no message has come
    std::size_t max_unused = 1000;  ///< of those at once; the oldest makes room
    // Under verification at once; more are answered with "handshake issue".
    std::size_t max_handshakes = 256;
    std::size_t max_handshake_bytes = std::size_t{16} << 20;  ///< of their HELOs, which are of some 1.5 KB and may be of 64
  };

  // What the listener is to do.
  struct Send {
    std::string frame;
    bool is_sealed = false;  ///< under the session's key: else anybody who has the routing id can have asked for it
  };
  struct Verify {  ///< run verify_helo() on the pool, then call verified()
    HeloText helo;
  };
  struct Request {  ///< a message for the router; the answer is sealed with seal()
    Message message;
  };
  struct Save {};   ///< the session changed: store session(routing_id). A new one is stored at its first message
  struct Refused {  ///< for the log
    std::string why;
  };
  using Step = std::variant<Send, Verify, Request, Save, Refused>;
  using Steps = std::vector<Step>;

  explicit ServerSessions(Config config) : config_(std::move(config)) {}

  /// So many nodes may dial us: each has a place beside max_handshakes and one beside max_unused, for all of them may greet at once.
  void make_room(std::size_t nodes) { nodes_ = nodes; }

  /// A frame of a client whose routing id begins with `gorgone-`.
  Steps on_frame(const std::string& routing_id, std::string_view frame, std::int64_t now);
  /// The outcome of a Verify: the client's key, or why it was refused.
  Steps on_verified(const std::string& routing_id, Result<RsaPublicKey> client, std::int64_t now);
  /// In place of on_verified(): the client has gone, and may greet again.
  void give_up(const std::string& routing_id);

  /// Text sealed under the session's key; nothing where there is no such session.
  std::optional<std::string> seal(const std::string& routing_id, std::string text, Form form = Form::base64) const;

  /// Rotates keys that are too old and drops sessions that are silent too long.
  struct Due {
    std::vector<std::pair<std::string, std::string>> send;  ///< routing id, frame
    std::vector<std::string> save, dropped;                 ///< routing ids
  };
  Due on_clock(std::int64_t now);

  void restore(const std::string& routing_id, ServerSession session);
  const ServerSession* session(const std::string& routing_id) const;
  void drop(const std::string& routing_id);
  std::size_t size() const { return sessions_.size(); }

 private:
  std::optional<std::string> open(ServerSession& session, std::string_view frame) const;
  std::optional<std::string> open_offered(ServerSession& session, std::string_view frame, std::int64_t now) const;
  Steps refuse(std::string why) const;

  void use(ServerSession& session, std::int64_t now, Steps& steps);
  void insert_unused(const std::string& routing_id, ServerSession session);
  using Place = std::unordered_map<std::string, ServerSession>::iterator;
  Place erase(Place entry);

  Config config_;
  std::unordered_map<std::string, ServerSession> sessions_;
  std::map<std::uint64_t, std::string> unused_;  // in the order they came
  std::uint64_t last_unused_ = 0;
  std::size_t nodes_ = 0;
  std::unordered_map<std::string, std::size_t> verifying_;  // with the size of the HELO
  std::size_t verifying_bytes_ = 0;
};

/// The RSA work of a handshake, for the pool: decrypts HELO and looks up the client's key. An Error says why it is refused.
Result<RsaPublicKey> verify_helo(const HeloText& helo, const RsaPrivateKey& own,
                                 const std::unordered_set<std::string>& authorized_thumbprints);

}  // namespace gorgone::wire
