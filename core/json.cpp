#include <gorgone/json.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iterator>
#include <string>

namespace gorgone {

namespace {

constexpr std::size_t depth_max = 200;

unsigned char byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

// The length of the valid UTF-8 sequence that begins at `at`, 0 where none does.
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const unsigned char first = byte_at(text, at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() - at < length) return 0;
  // The second byte's range shuts out overlong forms, surrogates and what lies beyond U+10FFFF.
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte_at(text, at + 1) < low || byte_at(text, at + 1) > high) return 0;
  for (std::size_t i = at + 2; i < at + length; ++i) {
    if ((byte_at(text, i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

// Where the first byte stands that is no UTF-8; the size where all are.
std::size_t valid_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = sequence_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void append_double(std::string& out, double number) {
  // JSON knows no infinity.
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  fmt::format_to(std::back_inserter(out), "{}", number);
}

void append_value(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      break;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      break;
    case json::kind::int64:
      fmt::format_to(std::back_inserter(out), "{}", value.get_int64());
      break;
    case json::kind::uint64:
      fmt::format_to(std::back_inserter(out), "{}", value.get_uint64());
      break;
    case json::kind::double_:
      append_double(out, value.get_double());
      break;
    case json::kind::string:
      append_json_string(out, value.get_string());
      break;
    case json::kind::array: {
      char before = '[';
      for (const json::value& item : value.get_array()) {
        out += before;
        append_value(out, item);
        before = ',';
      }
      out += before == '[' ? "[]" : "]";
      break;
    }
    case json::kind::object: {
      char before = '{';
      for (const auto& [name, item] : value.get_object()) {
        out += before;
        append_json_string(out, name);
        out += ':';
        append_value(out, item);
        before = ',';
      }
      out += before == '{' ? "{}" : "}";
      break;
    }
  }
}

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    case '\b':
      out += "\\b";
      break;
    case '\f':
      out += "\\f";
      break;
    default:
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
  }
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  std::size_t at = valid_prefix(bytes);
  std::string out(bytes.substr(0, at));
  while (at < bytes.size()) {
    if (const std::size_t length = sequence_length(bytes, at); length > 0) {
      out.append(bytes, at, length);
      at += length;
      continue;
    }
    const unsigned char byte = byte_at(bytes, at++);
    out += static_cast<char>(0xC0 | (byte >> 6));
    out += static_cast<char>(0x80 | (byte & 0x3F));
  }
  return out;
}

Result<json::value> parse_json(std::string_view text) {
  std::string converted;
  if (valid_prefix(text) != text.size()) {
    converted = to_utf8(text);
    text = converted;
  }
  json::parse_options options;
  options.max_depth = depth_max;
  json::parser parser({}, options);
  json::error_code failure;
  // White space behind the value is taken with it, so whatever is left over is too much.
  const std::size_t taken = parser.write_some(text.data(), text.size(), failure);
  if (failure == json::error::incomplete) return Error{fmt::format("no JSON: it ends too early, after {} bytes", text.size())};
  if (failure == json::error::too_deep) return Error{fmt::format("no JSON for us: nested deeper than {} levels", depth_max)};
  if (failure) return Error{fmt::format("no JSON: {} at byte {}", failure.message(), taken)};
  if (taken < text.size()) return Error{fmt::format("no JSON: something follows the value, at byte {}", taken)};
  return parser.release();
}

std::string to_text(const json::value& value) {
  std::string out;
  append_value(out, value);
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  std::string converted;
  if (valid_prefix(text) != text.size()) {
    converted = to_utf8(text);
    text = converted;
  }
  out.reserve(out.size() + text.size() + 2);
  out += '"';
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (byte_at(text, at) >= 0x20 && text[at] != '"' && text[at] != '\\') continue;
    out.append(text, copied, at - copied);
    append_escape(out, text[at]);
    copied = at + 1;
  }
  out.append(text, copied);
  out += '"';
}

const json::value* member(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

std::optional<std::int64_t> integer_of(const json::value* value) {
  if (value == nullptr) return std::nullopt;
  switch (value->kind()) {
    case json::kind::int64:
      return value->get_int64();
    case json::kind::uint64:
      if (value->get_uint64() > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<std::int64_t>(value->get_uint64());
    case json::kind::double_:
      // 2^63 as a double; what is smaller can be cut to an integer.
      if (!(std::abs(value->get_double()) < 9223372036854775808.0)) return std::nullopt;
      return static_cast<std::int64_t>(value->get_double());
    case json::kind::string:
      return number_in<std::int64_t>(value->get_string());
    default:
      return std::nullopt;
  }
}

std::optional<double> number_of(const json::value* value) {
  if (value == nullptr) return std::nullopt;
  switch (value->kind()) {
    case json::kind::int64:
      return static_cast<double>(value->get_int64());
    case json::kind::uint64:
      return static_cast<double>(value->get_uint64());
    case json::kind::double_:
      return std::isfinite(value->get_double()) ? std::optional(value->get_double()) : std::nullopt;
    case json::kind::string: {
      const std::optional<double> number = number_in<double>(value->get_string());
      return number && std::isfinite(*number) ? number : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

std::optional<std::string> text_of(const json::value* value) {
  if (value == nullptr || value->is_null() || value->is_structured()) return std::nullopt;
  if (const json::string* text = value->if_string()) return std::string(text->data(), text->size());
  return to_text(*value);
}

bool truth_of(const json::value* value, bool otherwise) {
  if (value == nullptr) return otherwise;
  switch (value->kind()) {
    case json::kind::null:
      return false;
    case json::kind::bool_:
      return value->get_bool();
    case json::kind::int64:
      return value->get_int64() != 0;
    case json::kind::uint64:
      return value->get_uint64() != 0;
    case json::kind::double_:
      return value->get_double() != 0;
    case json::kind::string:
      return !value->get_string().empty() && value->get_string() != "0";
    default:
      return true;
  }
}

}  // namespace gorgone
