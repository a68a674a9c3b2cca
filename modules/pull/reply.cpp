#include "reply.hpp"

namespace gorgone::pull {
namespace {

/// Pieces of files, which parents of our own send as fast as they are answered (docs/protocol.md, "Remote copy").
bool is_piece(const std::string& action, const std::string& token) {
  return action.starts_with("CONTENT") || (action == "PROCESSCOPY" && token.find("-try-") != std::string::npos);
}

}  // namespace

std::optional<Message> reply_to(const std::string& action, const Answer& answer) {
  std::string kind;
  if (action == "DELIVER")
    kind = "ACK";
  else if (answer.kind == "PONG")
    kind = "PONG";
  else if (answer.kind == "ACK" && is_piece(action, answer.token))
    kind = "ACK";
  else if (action == "GETLOG" && answer.kind == "ACK")
    kind = "SETLOGS";
  else
    return {};
  std::string text = "{\"code\":" + std::to_string(answer.code) + ",\"data\":" + answer.data.text() + '}';
  return Message{std::move(kind), answer.token, {}, Payload(std::move(text)), {}};
}

}  // namespace gorgone::pull
