// Text of WebSockets: entities, messages, answers and refusals, whatever a peer makes of them.

#include <gorgone/wss_text.hpp>

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

using namespace gorgone;
using namespace gorgone::fuzz;

namespace {

bool is_encoded(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte < 0x7F && c != '"' && c != '<' && c != '>' && c != '\'') || c == '\t' || c == '\r' || c == '\n';
  });
}

void check_entities(const std::string& text) {
  const auto encoded = wss::encode_entities(text);
  require(is_encoded(encoded), "encoded text holds no byte that is to be encoded", encoded);
  require(wss::decode_entities(encoded) == text, "what was encoded is decoded to the same", text);
  const auto decoded = wss::decode_entities(text);
  require(decoded.size() <= text.size(), "no entity is shorter than its character", text);
  if (text.find('&') == text.npos || text.find_first_of("\"<") != text.npos)
    require(decoded == text, "text without an entity, or that is not encoded, stays as it is", text);
  std::size_t ampersands = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '&') ++ampersands;
    if (ampersands > 0) break;
    require(decoded.size() > at && decoded[at] == text[at], "all before the first entity stays as it is", text);
  }
}

bool is_plain(std::string_view part) { return !part.empty() && part.find_first_of("[] \t\r\n\v\f") == part.npos; }

void check_message(const std::string& text) {
  const auto message = wss::read_message(text);
  if (!message) return;
  require(text.front() == '[', "a message begins with its action in brackets", text);
  require(!wss::read_refusal(text), "a message is no refusal", text);
  require(message->data.text().size() <= text.size(), "a message holds no more than its text", text);
  const auto written = wss::write_request(*message);
  require(to_utf8(written) == written, "what goes into a WebSocket is UTF-8", written);
  const auto again = wss::read_message(written);
  require(again && again->action == to_utf8(message->action), "a message that is passed on is read again", written);
  require(again->token == to_utf8(message->token) && again->target == to_utf8(message->target), "with its token and its target", written);
  // On its way from a node, whichever way the node writes it.
  const auto as_encoded = wss::read_message(wss::decode_entities(wss::encode_entities(written)));
  require(as_encoded && as_encoded->data.text() == again->data.text(), "entities on the way change nothing", written);
}

void check_answer(Input input) {
  Answer answer;
  answer.kind = input.flag() ? "ACK" : "SETLOGS";
  answer.token = std::string(input.text());
  answer.code = static_cast<int>(input.byte());
  const json::value data(json::string(to_utf8(input.rest())));
  answer.data = Payload(to_text(data));
  const auto written = wss::write_answer(answer);
  require(to_utf8(written) == written, "an answer is UTF-8", written);
  if (!is_plain(answer.token) || to_utf8(answer.token) != answer.token) return;
  const auto read = wss::read_message(written);
  require(read && read->action == answer.kind && read->token == answer.token && read->target.empty(), "an answer is read as a message",
          written);
  const auto parsed = read->data.json();
  require(parsed && integer_of(member(**parsed, "code")) == answer.code && text_of(member(**parsed, "data")) == text_of(&data),
          "with its code and its data", written);
}

void check_refusal(const std::string& text) {
  const auto said = wss::write_refusal(text);
  require(!wss::read_message(said), "a refusal is no message", said);
  require(wss::read_refusal(to_utf8(said)) == to_utf8(text), "a refusal says what it was made with", text);
  (void)wss::read_refusal(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_entities(text);
  check_message(text);
  check_message(wss::decode_entities(text));
  check_answer(Input(data, size));
  check_refusal(text);
  return 0;
}
