#include "core/wire/text.hpp"

#include <gorgone/base64.hpp>

#include <algorithm>

namespace gorgone::wire {
namespace {

// A text is sealed in place: a block of padding, and the byte before a raw one.
constexpr std::size_t sealing_room = 17;

constexpr bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

void skip_space(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_space(text[n])) ++n;
  text.remove_prefix(n);
}

// Takes `[…]` from the front of `text`: up to the first `]` that `after` accepts to follow. No line breaks inside.
template <class After>
std::optional<std::string_view> take_bracket(std::string_view& text, After after) {
  if (text.empty() || text.front() != '[') return {};
  for (std::size_t i = 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] != ']' || !after(text.substr(i + 1))) continue;
    const auto inside = text.substr(1, i - 1);
    text.remove_prefix(i + 1);
    return inside;
  }
  return {};
}

bool space_follows(std::string_view rest) { return !rest.empty() && is_space(rest.front()); }
bool space_or_end_follows(std::string_view rest) { return rest.empty() || is_space(rest.front()); }

// `[action] [token]` and the white space after them.
std::optional<MessageText> take_head(std::string_view& text) {
  MessageText head;
  const auto action = take_bracket(text, space_follows);
  if (!action || action->empty()) return {};
  skip_space(text);
  const auto token = take_bracket(text, space_or_end_follows);
  if (!token) return {};
  skip_space(text);
  head.action = *action;
  head.token = *token;
  return head;
}

}  // namespace

std::optional<MessageText> parse_request(std::string_view text) {
  auto message = take_head(text);
  if (!message) return {};
  const auto target = take_bracket(text, space_follows);
  if (!target) return {};
  skip_space(text);
  message->target = *target;
  message->data = text;
  return message;
}

std::optional<MessageText> parse_answer(std::string_view text) {
  auto message = take_head(text);
  if (!message) return {};
  // A list as data begins with a bracket too, but no white space and more data follow its end.
  auto rest = text;
  if (const auto target = take_bracket(rest, space_follows)) {
    skip_space(rest);
    if (!rest.empty()) {
      message->target = *target;
      text = rest;
    }
  }
  message->data = text;
  return message;
}

bool looks_like_message(std::string_view text) {
  if (text.size() < 3 || text.front() != '[') return false;
  std::size_t n = 1;
  auto allowed = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  while (n < text.size() && allowed(text[n])) ++n;
  return n > 1 && n < text.size() && text[n] == ']';
}

std::string format_request(const Message& message, Form form) {
  const auto& data = message.data;
  const auto size = form == Form::raw ? data.size() + 2 : data.text().size();
  std::string text;
  text.reserve(message.action.size() + message.token.size() + message.target.size() + size + 9 + sealing_room);
  text.append("[").append(message.action).append("] [").append(message.token).append("] [").append(message.target).append("] ");
  if (form == Form::raw) return text.append(1, '\0').append(data.head()).append(1, '\0').append(*data.bytes());
  return text.append(data.text().empty() ? "{}" : data.text());
}

// In place, for it may be a piece of a file.
Payload read_data(std::string text, std::size_t begin) {
  const bool is_raw = begin < text.size() && text[begin] == '\0';
  const auto end = is_raw ? text.find('\0', begin + 1) : text.npos;
  if (end == text.npos) return Payload(std::move(text.erase(0, begin)));
  auto head = text.substr(begin + 1, end - begin - 1);
  return {std::move(head), std::move(text.erase(0, end + 1))};
}

std::string format_answer(const Answer& answer) {
  const auto& data = answer.data.text();
  std::string text;
  text.reserve(answer.kind.size() + answer.token.size() + data.size() + 48);
  text.append("[").append(answer.kind).append("] [").append(answer.token).append("] ");
  if (answer.kind == "PONG" || answer.kind == "SYNCLOGS") text += "[] ";
  return text.append("{\"code\":").append(std::to_string(answer.code)).append(",\"data\":").append(data).append("}");
}

bool is_get_pubkey(std::string_view frame) {
  skip_space(frame);
  return frame.starts_with(get_pubkey);
}

std::string format_pubkey(std::string_view pem) { return "[PUBKEY] [" + base64_encode(pem) + "]"; }

std::optional<std::string> parse_pubkey(std::string_view frame) {
  skip_space(frame);
  constexpr std::string_view label = "[PUBKEY]";
  if (!frame.starts_with(label)) return {};
  frame.remove_prefix(label.size());
  skip_space(frame);
  if (frame.empty() || frame.front() != '[') return {};
  const auto end = frame.find(']');
  if (end == std::string_view::npos) return {};
  return base64_decode(frame.substr(1, end - 1));
}

// Deployed: \[(.+)\]\s+\[(.+)\]\s+\[(.+)\]$ — greedy, so the last three brackets count. Base64 has no brackets, so they are found
// from the end in one pass; what stands before the first is junk, the name may hold anything.
std::optional<HeloText> parse_helo(std::string_view frame) {
  if (!frame.empty() && frame.back() == '\n') frame.remove_suffix(1);
  auto take_last = [&frame](bool may_hold_brackets) -> std::optional<std::string_view> {
    if (frame.empty() || frame.back() != ']') return {};
    const auto begin = may_hold_brackets ? frame.find('[') : frame.rfind('[');
    if (begin == std::string_view::npos || begin + 2 > frame.size() - 1) return {};
    const auto inside = frame.substr(begin + 1, frame.size() - begin - 2);
    frame = frame.substr(0, begin);
    return inside;
  };
  auto drop_space = [&frame] {
    const auto before = frame.size();
    while (!frame.empty() && is_space(frame.back())) frame.remove_suffix(1);
    return frame.size() < before;
  };
  const auto sealed = take_last(false);
  if (!sealed || !drop_space()) return {};
  const auto pem = take_last(false);
  if (!pem || !drop_space()) return {};
  const auto name = take_last(true);
  if (!name) return {};
  return HeloText{std::string(*name), base64_decode(*pem), base64_decode(*sealed)};
}

std::string format_helo(const HeloText& helo) {
  return "[" + helo.name + "] [" + base64_encode(helo.client_pem) + "] [" + base64_encode(helo.sealed) + "]";
}

std::string format_key(const KeyText& key) {
  json::object data{
      {"hostname", key.hostname}, {"key", to_hex(key.key)}, {"iv", to_hex(key.iv)}, {"cipher", key.cipher}, {"padding", key.padding}};
  return "[KEY] " + to_text(json::value(std::move(data)));
}

Result<KeyText> parse_key(std::string_view text) {
  constexpr std::string_view label = "[KEY]";
  if (!text.starts_with(label)) return Error{"expected a [KEY] message"};
  auto data = parse_json(text.substr(label.size()));
  if (!data) return Error{"[KEY] message: " + data.error().message};
  KeyText key;
  key.hostname = text_of(member(*data, "hostname")).value_or("");
  key.cipher = text_of(member(*data, "cipher")).value_or("");
  key.padding = static_cast<int>(integer_of(member(*data, "padding")).value_or(1));
  const auto bytes = from_hex(text_of(member(*data, "key")).value_or(""));
  const auto iv = from_hex(text_of(member(*data, "iv")).value_or(""));
  if (!bytes || bytes->empty()) return Error{"[KEY] message: member \"key\" is no hexadecimal text"};
  if (!iv || iv->empty()) return Error{"[KEY] message: member \"iv\" is no hexadecimal text"};
  if (key.cipher != "AES") return Error{"[KEY] message: cipher \"" + key.cipher + "\" is unknown, expected AES"};
  key.key = *bytes;
  key.iv = *iv;
  return key;
}

const std::string_view handshake_issue = R"([ACK] [] {"code":1,"data":{"message":"handshake issue"}})";

bool is_handshake_issue(std::string_view frame) {
  return frame.starts_with("[ACK]") && frame.find("handshake issue") != std::string_view::npos;
}

std::string to_hex(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (char c : bytes) {
    hex += digits[static_cast<unsigned char>(c) >> 4];
    hex += digits[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

std::optional<std::string> from_hex(std::string_view hex) {
  if (hex.size() % 2) return {};
  auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return {};
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

}  // namespace gorgone::wire
