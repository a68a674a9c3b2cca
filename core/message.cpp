#include <gorgone/message.hpp>

#include <openssl/rand.h>

#include <array>
#include <stdexcept>

namespace gorgone {

const std::string& Payload::text() const {
  if (!text_) text_ = to_text(*value_);
  return *text_;
}

Result<const json::value*> Payload::json() const {
  if (!value_) {
    auto parsed = parse_json(*text_);
    if (!parsed) return parsed.error();
    value_.emplace(std::move(*parsed));
  }
  return &*value_;
}

std::string new_token() {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::array<unsigned char, 64> bytes;
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) throw std::runtime_error("no random bytes to be had from OpenSSL");
  std::string token;
  token.reserve(2 * bytes.size());
  for (auto byte : bytes) {
    token += digits[byte >> 4];
    token += digits[byte & 15];
  }
  return token;
}

}  // namespace gorgone
