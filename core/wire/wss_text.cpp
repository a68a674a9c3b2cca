#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <gorgone/wss_text.hpp>

#include "core/wire/text.hpp"

namespace gorgone::wss {
namespace {

constexpr std::string_view plain_marks = " \t\r\n!#$%()*+,-./:;=?@[\\]^_`{|}~";
constexpr std::size_t entity_length_max = 10;
constexpr std::uint32_t code_point_max = 0x10FFFF;
constexpr std::uint32_t latin_1_first = 160;

// Of the characters 160 to 255, in their order.
constexpr std::array<std::string_view, 96> latin_1_names{
    "nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",    "copy",   "ordf",   "laquo",
    "not",    "shy",    "reg",    "macr",   "deg",    "plusmn", "sup2",   "sup3",   "acute",  "micro",  "para",   "middot",
    "cedil",  "sup1",   "ordm",   "raquo",  "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",  "Atilde",
    "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",  "Euml",   "Igrave", "Iacute", "Icirc",  "Iuml",
    "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde", "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",
    "Uuml",   "Yacute", "THORN",  "szlig",  "agrave", "aacute", "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil",
    "egrave", "eacute", "ecirc",  "euml",   "igrave", "iacute", "icirc",  "iuml",   "eth",    "ntilde", "ograve", "oacute",
    "ocirc",  "otilde", "ouml",   "divide", "oslash", "ugrave", "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"};

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || plain_marks.find(c) != std::string_view::npos;
}

void append_entity(std::string& out, char c) {
  switch (c) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '"':
      out += "&quot;";
      break;
    default:
      out.append("&#").append(std::to_string(static_cast<unsigned>(static_cast<unsigned char>(c)))).append(";");
  }
}

std::optional<std::uint32_t> number_of_entity(std::string_view digits) {
  const bool is_hex = digits.starts_with('x') || digits.starts_with('X');
  if (is_hex) digits.remove_prefix(1);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, is_hex ? 16 : 10);
  const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (error != std::errc() || end != digits.data() + digits.size() || value > code_point_max || is_surrogate) return {};
  return value;
}

/// The character of what stands between `&` and `;`.
std::optional<std::uint32_t> character(std::string_view name) {
  if (name.starts_with('#')) return number_of_entity(name.substr(1));
  if (name == "quot") return '"';
  if (name == "amp") return '&';
  if (name == "lt") return '<';
  if (name == "gt") return '>';
  if (name == "apos") return '\'';
  const auto found = std::find(latin_1_names.begin(), latin_1_names.end(), name);
  if (found == latin_1_names.end()) return {};
  return latin_1_first + static_cast<std::uint32_t>(found - latin_1_names.begin());
}

void append_character(std::string& out, std::uint32_t value) {
  auto add = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  auto add_tail = [&](int bits) { add(0x80 | ((value >> bits) & 0x3F)); };
  if (value <= 0xFF) return add(value);
  if (value <= 0x7FF) {
    add(0xC0 | (value >> 6));
  } else if (value <= 0xFFFF) {
    add(0xE0 | (value >> 12));
    add_tail(6);
  } else {
    add(0xF0 | (value >> 18));
    add_tail(12);
    add_tail(6);
  }
  add_tail(0);
}

}  // namespace

std::string encode_entities(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (char c : text) {
    if (is_plain(c))
      out += c;
    else
      append_entity(out, c);
  }
  return out;
}

std::string decode_entities(std::string text) {
  // JSON with a member or a text in it holds quotation marks, encoded text holds none.
  if (text.find('&') == std::string::npos || text.find_first_of("\"<") != std::string::npos) return text;
  std::string out;
  out.reserve(text.size());
  const std::string_view view = text;
  for (std::size_t at = 0; at < view.size();) {
    const auto begin = std::min(view.find('&', at), view.size());
    out.append(view, at, begin - at);
    at = begin;
    if (at == view.size()) break;
    const auto name = view.substr(at + 1, entity_length_max);
    const auto length = name.find(';');
    const auto value = length == std::string_view::npos ? std::nullopt : character(name.substr(0, length));
    if (value) {
      append_character(out, *value);
      at += length + 2;
    } else {
      out += '&';
      ++at;
    }
  }
  return out;
}

std::optional<Message> read_message(std::string_view text) {
  if (!wire::looks_like_message(text)) return {};
  const auto parsed = wire::parse_answer(text);
  if (!parsed) return {};
  return Message{std::string(parsed->action),
                 std::string(parsed->token),
                 std::string(parsed->target.value_or("")),
                 Payload(std::string(parsed->data)),
                 {}};
}

std::string write_request(const Message& message) { return to_utf8(wire::format_request(message)); }

std::string write_answer(const Answer& answer) {
  auto text = "[" + answer.kind + "] [" + answer.token + "] ";
  if (answer.kind != "ACK") text += "[] ";
  text.append("{\"code\":").append(std::to_string(answer.code)).append(",\"data\":").append(answer.data.text()).append("}");
  return to_utf8(text);
}

std::string write_refusal(std::string_view message) { return to_text(json::value(json::object{{"code", 500}, {"message", message}})); }

std::optional<std::string> read_refusal(std::string_view text) {
  if (!text.starts_with('{')) return {};
  const auto data = parse_json(text);
  if (!data || !member(*data, "code")) return {};
  return text_of(member(*data, "message"));
}

std::string thumbprint_of_secret(std::string_view secret) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

}  // namespace gorgone::wss
