#pragma once
// The protocol of MCollective's ZeroMQ connector, "mc0" (docs/protocol.md): frames of a message as a command and back. Without I/O.
// Every message is "" VERB KEY1 VALUE1 … ["" BODY…]: an empty delimiter, the verb, header pairs, then an empty frame where a key would
// stand, and the positional frames.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport.hpp"

namespace gorgone::mcollective {

struct Command {
  std::string verb;
  std::vector<std::pair<std::string, std::string>> headers;  ///< in their order, each key once
  std::vector<std::string> body;                             ///< positional frames
  const std::string* header(std::string_view key) const;     ///< nullptr where it is absent
};

/// A message that is no command still has the headers that were read, for its ERROR shall name its ID.
struct Parsed {
  Command command;
  std::optional<std::string> fault;  ///< what was expected, for the client
};

inline constexpr std::size_t headers_max = 64;
inline constexpr std::size_t header_bytes_max = 65536;  ///< all keys and values of a message together

Parsed parse_command(Frames frames);
Frames ok(const std::string& id);
Frames error(const std::string& text, const std::string* id);
Frames noop();
/// The MESSAGE that a PUT becomes: every header but ID, then the body.
Frames message_of(Command put);
/// Bytes of all frames.
std::size_t size_of(const Frames& frames);

}  // namespace gorgone::mcollective
