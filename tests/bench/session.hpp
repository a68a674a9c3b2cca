#pragma once
// The connecting side of the protocol, as plain as can be, so that a measurement shows the daemon and not its client: one DEALER, one
// handshake, texts sealed and opened with the agent's own cipher. Blocking, on one thread.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "core/wire/rsa.hpp"
#include "core/wire/session_cipher.hpp"

namespace bench {

using Clock = std::chrono::steady_clock;

inline double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

/// A DEALER with its own routing id and no bound on what is queued.
zmq::socket_t connect(zmq::context_t& context, const std::string& endpoint, const std::string& routing_id);
/// The next frame; std::runtime_error where none comes within `limit`.
std::string take_frame(zmq::socket_t& socket, std::chrono::milliseconds limit = std::chrono::seconds(60));
/// The public key that a listener tells.
gorgone::wire::RsaPublicKey ask_key(zmq::socket_t& socket);
/// `[name] [key] [sealed]`, with `secret` sealed for the server.
std::string helo(const gorgone::wire::RsaPublicKey& server, const gorgone::wire::RsaPublicKey& own, std::string_view secret = "HELO");

class Session {
 public:
  /// Connects and greets; std::runtime_error where it is refused.
  Session(zmq::context_t& context, const std::string& endpoint, const gorgone::wire::RsaPrivateKey& key);
  /// Without a handshake: for the raw echo, whose key both sides know.
  Session(zmq::context_t& context, const std::string& endpoint, gorgone::wire::SessionCipher cipher);

  void send(std::string text) { socket_.send(zmq::buffer(cipher_->seal(std::move(text)))); }
  std::string take(std::chrono::milliseconds limit = std::chrono::seconds(60));
  /// Until a frame may be there or `limit` has come; only after take_now() has found nothing.
  void wait(Clock::time_point limit);
  /// A text that is there already.
  std::optional<std::string> take_now();

 private:
  std::string opened(std::string_view frame) const;

  zmq::socket_t socket_;
  std::optional<gorgone::wire::SessionCipher> cipher_;
};

/// 50, 99, 100: percentiles of seconds, in milliseconds.
double percentile_ms(std::vector<double> values, double percent);

}  // namespace bench
