#pragma once
// The protocol of MCollective's ZeroMQ connector, "mc0" (docs/protocol.md): frames of a message as a command and back. Without I/O.
// Every message is "" VERB KEY1 VALUE1 … ["" BODY…]: an empty delimiter, the verb, header pairs, then an empty frame where a key would
// stand, and the positional frames.

#include <gorgone/result.hpp>

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

/// An Error tells the client what was expected.
Result<Command> parse_command(Frames frames);
Frames ok(const std::string& id);
Frames error(const std::string& text, const std::string* id);
Frames noop();
/// The MESSAGE that a PUT becomes: every header but ID, then the body.
Frames message_of(Command put);

}  // namespace gorgone::mcollective
