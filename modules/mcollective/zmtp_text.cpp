#include "zmtp_text.hpp"

#include <fmt/format.h>
#include <strings.h>
#include <gorgone/log.hpp>

namespace gorgone::mcollective::zmtp {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view signature = "\xff\0\0\0\0\0\0\0\1\x7f"sv;
constexpr std::size_t version_at = 10, mechanism_at = 12, mechanism_size = 20, server_at = 32;
constexpr unsigned flags_known = flag_more | flag_long | flag_command;

unsigned byte_of(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }

void append_property(std::string& out, std::string_view name, std::string_view value) {
  out += static_cast<char>(name.size());
  out += name;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value.size() >> shift);
  out += value;
}

bool is_named(std::string_view name, std::string_view expected) {
  return name.size() == expected.size() && strncasecmp(name.data(), expected.data(), name.size()) == 0;
}

}  // namespace

std::string greeting(std::string_view mechanism) {
  std::string text(signature);
  text += "\3\1"sv;
  text += mechanism;
  text.resize(greeting_size, '\0');
  text[server_at] = mechanism == "NULL" ? '\0' : '\1';
  return text;
}

Result<bool> check_greeting(std::string_view bytes, std::string_view mechanism) {
  // What can be seen to be wrong is told before all has come: who speaks another protocol may never send so much.
  if (!bytes.empty() && byte_of(bytes, 0) != 0xff)
    return Error{"it does not speak ZeroMQ: it greets with \"" + printable(bytes, 40) + "\""};
  if (bytes.size() > 9 && (byte_of(bytes, 9) & 1) == 0) return Error{"it speaks ZMTP 1 (ZeroMQ 2), expected ZMTP 3 (ZeroMQ 4)"};
  if (bytes.size() > version_at && byte_of(bytes, version_at) < 3)
    return Error{fmt::format("it speaks ZMTP {} (ZeroMQ 3 or older), expected ZMTP 3 (ZeroMQ 4)", byte_of(bytes, version_at))};
  if (bytes.size() < greeting_size) return false;
  auto asked = bytes.substr(mechanism_at, mechanism_size);
  asked = asked.substr(0, asked.find('\0'));
  if (asked != mechanism) return Error{fmt::format("it asks for the mechanism \"{}\", expected {}", printable(asked), mechanism)};
  return true;
}

unsigned minor_version(std::string_view greeting) { return byte_of(greeting, version_at) > 3 ? 1 : byte_of(greeting, version_at + 1); }

Result<std::optional<FrameHead>> frame_head(std::string_view bytes) {
  if (bytes.empty()) return std::optional<FrameHead>{};
  FrameHead head;
  head.flags = byte_of(bytes, 0);
  if ((head.flags & ~flags_known) != 0) return Error{fmt::format("it sent what is no frame of ZMTP: flags {:#x}", head.flags)};
  head.size = (head.flags & flag_long) != 0 ? frame_head_max : 2;
  if (bytes.size() < head.size) return std::optional<FrameHead>{};
  for (std::size_t i = 1; i < head.size; ++i) head.body = head.body << 8 | byte_of(bytes, i);
  return std::optional<FrameHead>{head};
}

std::size_t write_frame_head(char* out, unsigned flags, std::uint64_t body) {
  if (body <= 255) {
    out[0] = static_cast<char>(flags);
    out[1] = static_cast<char>(body);
    return 2;
  }
  out[0] = static_cast<char>(flags | flag_long);
  for (int i = 1; i < 9; ++i) out[i] = static_cast<char>(body >> (8 * (8 - i)));
  return frame_head_max;
}

std::string frame(unsigned flags, std::string_view body) {
  std::string out(frame_head_max, '\0');
  out.resize(write_frame_head(out.data(), flags, body.size()));
  out += body;
  return out;
}

std::string_view command_name(std::string_view body) {
  if (body.empty() || byte_of(body, 0) >= body.size()) return {};
  return body.substr(1, byte_of(body, 0));
}

std::string error_command(std::string_view code) {
  std::string body = "\5ERROR";
  body += static_cast<char>(code.size());
  body += code;
  return body;
}

Result<Properties> read_properties(std::string_view text) {
  const Error torn{"its properties are torn: a name or a value is longer than what there is"};
  Properties found;
  while (!text.empty()) {
    const std::size_t name_size = byte_of(text, 0);
    if (text.size() < 1 + name_size + 4) return torn;
    const auto name = text.substr(1, name_size);
    text.remove_prefix(1 + name_size);
    std::size_t value_size = 0;
    for (std::size_t i = 0; i < 4; ++i) value_size = value_size << 8 | byte_of(text, i);
    if (text.size() - 4 < value_size) return torn;
    const auto value = text.substr(4, value_size);
    text.remove_prefix(4 + value_size);
    if (is_named(name, "Socket-Type")) found.socket_type = value;
    if (is_named(name, "Identity")) found.routing_id = value;
  }
  return found;
}

std::string router_properties() {
  std::string text;
  append_property(text, "Socket-Type", "ROUTER");
  append_property(text, "Identity", "");
  return text;
}

}  // namespace gorgone::mcollective::zmtp
