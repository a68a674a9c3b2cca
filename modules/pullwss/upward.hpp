#pragma once
// What a node that has dialled its central says of the answers to the central's requests (docs/protocol.md). Pure.

#include <gorgone/message.hpp>

#include <optional>
#include <string>

namespace gorgone::pullwss {

/// The answer as it goes up: PONG, SETLOGS for the log that a GETLOG asked for, ACK for a DELIVER and for pieces of files ("Remote copy").
/// Of all else the central learns by the log, so nothing is said.
inline std::optional<Answer> upward(const std::string& action, Answer answer) {
  if (action == "PING" && answer.kind == "PONG") return answer;
  const bool is_piece = action.starts_with("CONTENT") || (action == "PROCESSCOPY" && answer.token.find("-try-") != std::string::npos);
  if ((action == "DELIVER" || is_piece) && answer.kind == "ACK") return answer;
  if (action != "GETLOG" || answer.kind != "ACK" || answer.code != 0) return {};
  answer.kind = "SETLOGS";
  return answer;
}

}  // namespace gorgone::pullwss
