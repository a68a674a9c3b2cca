#include "reply.hpp"

namespace gorgone::pull {

std::optional<Message> reply_to(const std::string& action, const Answer& answer) {
  std::string kind;
  if (action == "DELIVER")
    kind = "ACK";
  else if (answer.kind == "PONG")
    kind = "PONG";
  else if (action == "GETLOG" && answer.kind == "ACK")
    kind = "SETLOGS";
  else
    return {};
  std::string text = "{\"code\":" + std::to_string(answer.code) + ",\"data\":" + answer.data.text() + '}';
  return Message{std::move(kind), answer.token, {}, Payload(std::move(text)), {}};
}

}  // namespace gorgone::pull
