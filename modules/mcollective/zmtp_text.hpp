#pragma once
// The texts of ZMTP 3 (ZeroMQ RFC 23 and 37): frames, commands, properties. Without I/O; anywhere.

#include <gorgone/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gorgone::mcollective::zmtp {

constexpr unsigned flag_more = 1, flag_long = 2, flag_command = 4;
constexpr std::size_t greeting_size = 64, frame_head_max = 9, routing_id_max = 255;

/// Version 3.1, for we answer PING.
std::string greeting(std::string_view mechanism);
/// Looks at as much of a greeting as there is. An Error says what is wrong with it; false: it has not come whole.
Result<bool> check_greeting(std::string_view bytes, std::string_view mechanism);
/// The last number of the version in a whole greeting.
unsigned minor_version(std::string_view greeting);

struct FrameHead {
  std::size_t size = 0;  ///< of the head itself
  unsigned flags = 0;
  std::uint64_t body = 0;
};
/// Nothing where it has not come whole; an Error where it is none.
Result<std::optional<FrameHead>> frame_head(std::string_view bytes);
/// Writes at most frame_head_max bytes and returns how many.
std::size_t write_frame_head(char* out, unsigned flags, std::uint64_t body);
std::string frame(unsigned flags, std::string_view body);

/// The name of a command; empty where it is none.
std::string_view command_name(std::string_view body);
/// The body of the command ERROR.
std::string error_command(std::string_view code);

/// What a peer says of itself in READY or INITIATE.
struct Properties {
  std::string socket_type, routing_id;
};
Result<Properties> read_properties(std::string_view text);
/// Our own.
std::string router_properties();

}  // namespace gorgone::mcollective::zmtp
