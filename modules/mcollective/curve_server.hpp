#pragma once
// The listening side of CURVE's handshake (ZeroMQ RFC 26): what a client's commands say and what is answered. Without I/O. Its two steps
// cost some 0.1 ms each and may run on any thread, one after the other. One instance for each connection.

#include <gorgone/result.hpp>

#include <array>
#include <string>
#include <string_view>

#include "curve_box.hpp"
#include "keys.hpp"

namespace gorgone::mcollective {

class CurveServer {
 public:
  /// What a client is known by once it has proven its key.
  struct Client {
    std::string key;  ///< 32 bytes
    std::string metadata;
  };

  explicit CurveServer(const KeyPair& keys) : keys_(keys) {}
  ~CurveServer();
  CurveServer(const CurveServer&) = delete;

  /// The body of the command HELLO; gives the body of WELCOME.
  Result<std::string> on_hello(std::string_view body);
  /// The body of INITIATE.
  Result<Client> on_initiate(std::string_view body);
  /// The body of READY.
  std::string ready(std::string_view metadata) const;

  /// Of the messages that follow: the client's begin behind `client_nonce`, ours behind 1, which is that of READY.
  BoxKey client_key() const { return {shared_.data(), "CurveZMQMESSAGEC"}; }
  BoxKey server_key() const { return {shared_.data(), "CurveZMQMESSAGES"}; }
  std::uint64_t client_nonce() const { return client_nonce_; }

 private:
  const KeyPair& keys_;
  std::array<unsigned char, crypto_box_PUBLICKEYBYTES> client_transient_{}, transient_{};
  std::array<unsigned char, crypto_box_SECRETKEYBYTES> transient_secret_{};
  std::array<unsigned char, crypto_box_BEFORENMBYTES> shared_{};  // of both transient keys
  std::string cookie_;
  std::uint64_t client_nonce_ = 0;
};

}  // namespace gorgone::mcollective
