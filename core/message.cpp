#include <gorgone/base64.hpp>
#include <gorgone/message.hpp>

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace gorgone {
namespace {

std::string with_bytes(std::string_view head, std::string_view bytes) {
  std::string text(head.substr(0, head.rfind('}')));
  text += R"(,"bytes":")";
  text += base64_encode(bytes);
  text += "\"}";
  return text;
}

}  // namespace

const std::string& Payload::text() const {
  if (!text_) text_ = bytes_ ? with_bytes(head_, *bytes_) : to_text(*value_);
  return *text_;
}

Result<const json::value*> Payload::json() const {
  if (!value_) {
    auto parsed = parse_json(text());
    if (!parsed) return parsed.error();
    value_.emplace(std::move(*parsed));
  }
  return &*value_;
}

constexpr std::int64_t ttl_s_max = 604800;  // as proxy.outbox_ttl

// The header ends at a line break, so that the data behind it need not be parsed on any hop.
Message wrap_delivery(const Message& message, std::int64_t ttl_s) {
  const json::value header(json::object{{"action", message.action}, {"token", message.token}, {"ttl", ttl_s}});
  return Message{"DELIVER", message.delivery, message.target, Payload(to_text(header) + '\n' + message.data.text()), message.origin};
}

Result<Message> unwrap_delivery(const Message& wrapped) {
  const auto& text = wrapped.data.text();
  const auto end = std::min(text.find('\n'), text.size());
  const auto header = parse_json(std::string_view(text).substr(0, end));
  const auto action = header ? text_of(member(*header, "action")).value_or("") : std::string();
  if (action.empty() || action == wrapped.action || end == text.size())
    return Error{"DELIVER: expected {\"action\":…,\"token\":…,\"ttl\":…}, a line break and the message's data", "bad_delivery"};
  Message message{action, text_of(member(*header, "token")).value_or(""), wrapped.target, Payload(text.substr(end + 1)), wrapped.origin};
  message.delivery = wrapped.token;
  message.ttl_s = std::clamp<std::int64_t>(integer_of(member(*header, "ttl")).value_or(0), 0, ttl_s_max);
  return message;
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
