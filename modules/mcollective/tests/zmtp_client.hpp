#pragma once
// The connecting side of ZMTP and of CURVE, written for tests with libsodium's boxes and nothing of the module: what it says is as the RFCs
// have it, and each part can be said wrongly.

#include <sodium.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace gorgone::mcollective::test {

inline std::string number(std::uint64_t value, int bytes = 8) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  return text;
}

inline std::string greeting(std::string_view mechanism, int major = 3, int minor = 1) {
  std::string text("\xff\0\0\0\0\0\0\0\1\x7f", 10);
  text += static_cast<char>(major);
  text += static_cast<char>(minor);
  text += mechanism;
  text.resize(64, '\0');
  return text;
}

inline std::string frame(std::string_view body, int flags = 0) {
  std::string text;
  if (body.size() > 255)
    text = std::string(1, static_cast<char>(flags | 2)) + number(body.size());
  else
    text = std::string(1, static_cast<char>(flags)) + static_cast<char>(body.size());
  return text + std::string(body);
}

inline std::string property(std::string_view name, std::string_view value) {
  return static_cast<char>(name.size()) + std::string(name) + number(value.size(), 4) + std::string(value);
}

inline std::string properties(std::string_view routing_id, std::string_view type = "DEALER") {
  return property("Socket-Type", type) + property("Identity", routing_id);
}

inline std::string null_ready(std::string_view metadata) { return frame("\5READY" + std::string(metadata), 4); }

class CurveClient {
 public:
  CurveClient(std::string public_key, std::string secret_key, std::string server_key)
      : public_(std::move(public_key)),
        secret_(std::move(secret_key)),
        server_(std::move(server_key)),
        transient_(32, '\0'),
        hidden_(32, '\0') {
    crypto_box_keypair(bytes(transient_), bytes(hidden_));
  }

  std::string hello() {
    const auto nonce = number(++nonce_);
    const auto box = seal(std::string(64, '\0'), "CurveZMQHELLO---" + nonce, server_, hidden_);
    return frame("\5HELLO" + std::string("\1\0", 2) + std::string(72, '\0') + transient_ + nonce + box, 4);
  }
  /// The whole WELCOME, head and all.
  bool on_welcome(std::string_view welcome) {
    if (welcome.size() != 170) return false;
    std::string text;
    if (!open(text, welcome.substr(26), "WELCOME-" + std::string(welcome.substr(10, 16)), server_, hidden_)) return false;
    server_transient_ = text.substr(0, 32);
    cookie_ = text.substr(32);
    return true;
  }
  std::string initiate(std::string_view metadata) {
    const auto nonce = number(++nonce_);
    const std::string vouch_nonce = "0123456789abcdef";
    const auto vouch = seal(transient_ + server_, "VOUCH---" + vouch_nonce, server_transient_, secret_);
    const auto text = public_ + vouch_nonce + vouch + std::string(metadata);
    return frame("\10INITIATE" + cookie_ + nonce + seal(text, "CurveZMQINITIATE" + nonce, server_transient_, hidden_), 4);
  }
  std::string message(std::string_view text, int flags = 0) { return message_under(++nonce_, text, flags); }
  std::string message_under(std::uint64_t nonce, std::string_view text, int flags = 0) {
    const auto sealed = seal(static_cast<char>(flags) + std::string(text), "CurveZMQMESSAGEC" + number(nonce), server_transient_, hidden_);
    return frame("\7MESSAGE" + number(nonce) + sealed);
  }
  /// The body of a sealed frame from the server: its text, behind the flags.
  bool open_message(std::string& text, std::string_view body) const {
    return body.size() > 32 && body.substr(0, 8) == "\7MESSAGE" &&
           open(text, body.substr(16), "CurveZMQMESSAGES" + std::string(body.substr(8, 8)), server_transient_, hidden_);
  }
  /// The whole READY.
  bool open_ready(std::string& metadata, std::string_view ready) const {
    const std::size_t head = !ready.empty() && (ready[0] & 2) != 0 ? 9 : 2;
    return ready.size() > head + 30 && ready.substr(head, 6) == "\5READY" &&
           open(metadata, ready.substr(head + 14), "CurveZMQREADY---" + std::string(ready.substr(head + 6, 8)), server_transient_, hidden_);
  }

  std::uint64_t nonce() const { return nonce_; }
  std::string& cookie() { return cookie_; }

 private:
  static unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
  static const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
  static std::string seal(const std::string& text, const std::string& nonce, const std::string& to, const std::string& from) {
    std::string box(text.size() + crypto_box_MACBYTES, '\0');
    if (crypto_box_easy(bytes(box), bytes(std::string_view(text)), text.size(), bytes(std::string_view(nonce)), bytes(std::string_view(to)),
                        bytes(std::string_view(from))) != 0)
      box.clear();
    return box;
  }
  static bool open(std::string& text, std::string_view box, const std::string& nonce, const std::string& from, const std::string& to) {
    if (box.size() < crypto_box_MACBYTES) return false;
    text.resize(box.size() - crypto_box_MACBYTES);
    return crypto_box_open_easy(bytes(text), bytes(box), box.size(), bytes(std::string_view(nonce)), bytes(std::string_view(from)),
                                bytes(std::string_view(to))) == 0;
  }

  std::string public_, secret_, server_, transient_, hidden_, server_transient_, cookie_;
  std::uint64_t nonce_ = 0;
};

}  // namespace gorgone::mcollective::test
