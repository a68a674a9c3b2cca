#pragma once
// What a node that dialled its parent sends back for a request (docs/protocol.md, Nodes that dial). Pure.

#include <gorgone/message.hpp>

#include <optional>
#include <string>

namespace gorgone::pull {

/// PONG for PING, SETLOGS for GETLOG, ACK for DELIVER and pieces of files, which parents of our own send; nothing for all else, which
/// parents do not expect.
std::optional<Message> reply_to(const std::string& action, const Answer& answer);

}  // namespace gorgone::pull
