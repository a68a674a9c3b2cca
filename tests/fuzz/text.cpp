// The plaintext of messages and of the handshake, held against the expressions that deployed daemons parse with.

#include "core/wire/text.hpp"
#include "tests/fuzz/pattern.hpp"

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::wire;

namespace {

bool holds_bracket(std::string_view text) { return text.find_first_of("[]") != text.npos; }

bool lies_in(std::string_view part, std::string_view text) {
  return part.empty() || (part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size());
}

void compare_request(std::string_view text) {
  static const Pattern deployed(R"(^\[(.+?)\]\s+\[(.*?)\]\s+\[(.*?)\]\s+)");
  const auto request = parse_request(text);
  const auto theirs = deployed.find(text);
  if (theirs.gave_up) return;
  if (!request) {
    const bool is_odd =
        theirs.found && (holds_bracket(theirs.parts[1]) || holds_bracket(theirs.parts[2]) || holds_bracket(theirs.parts[3]));
    return require(!theirs.found || is_odd, "a request that deployed daemons take is taken", text);
  }
  require(theirs.found, "a request that is taken would be taken by deployed daemons", text);
  require(request->action == theirs.parts[1] && request->token == theirs.parts[2] && request->target == theirs.parts[3],
          "a request has the parts that deployed daemons see", text);
  require(request->data == text.substr(theirs.parts[0].size()), "all that follows the brackets is the data", text);

  const Message message{
      std::string(request->action), std::string(request->token), std::string(*request->target), Payload(std::string(request->data)), {}};
  const std::string written = format_request(message);
  const auto again = parse_request(written);
  require(again && again->action == request->action && again->token == request->token && again->target == request->target,
          "a request survives being written and read", text);
  require(again->data == (request->data.empty() ? "{}" : request->data), "its data survives too", text);

  Message raw{message.action, message.token, message.target, read_data(std::string(text), text.size() - request->data.size()), {}};
  if (!raw.data.bytes()) return require(raw.data.text() == request->data, "text stays as it came", text);
  const std::string sealed = format_request(raw, Form::raw);
  const auto opened = parse_request(sealed);
  require(opened && opened->data == request->data, "raw bytes survive being written and read", text);
}

void check_answer(std::string_view text) {
  const auto answer = parse_answer(text);
  const auto request = parse_request(text);
  if (request && !request->data.empty())
    require(answer && answer->target == request->target && answer->data == request->data, "a request can be read as an answer", text);
  if (!answer) return;
  require(lies_in(answer->action, text) && lies_in(answer->token, text) && lies_in(answer->data, text), "views lie in the text", text);
  require(!answer->action.empty(), "an answer has a kind", text);
  const std::string written = format_answer({std::string(answer->action), std::string(answer->token), 1, Payload("{}")});
  const auto again = parse_answer(written);
  require(again && again->action == answer->action && again->token == answer->token && again->data == R"({"code":1,"data":{}})",
          "an answer survives being written and read", text);
}

void compare_message_start(std::string_view text) {
  static const Pattern deployed(R"(^\[[A-Za-z0-9_\-]+?\])");
  require(looks_like_message(text) == deployed.find(text).found, "a message is known by its start as deployed daemons know it", text);
}

void compare_helo(std::string_view frame) {
  static const Pattern deployed(R"(\[(.+)\]\s+\[(.+)\]\s+\[(.+)\]$)", Pattern::dot_takes_all);
  const auto helo = parse_helo(frame);
  const auto theirs = deployed.find(frame);
  if (theirs.gave_up) return;
  if (helo) {
    require(theirs.found, "a HELO that is taken would be taken by deployed daemons", frame);
    require(helo->name == theirs.parts[1], "a HELO has the name that deployed daemons see", frame);
    HeloText again = *helo;
    if (helo->client_pem.empty() || helo->sealed.empty()) return;
    const auto read = parse_helo(format_helo(again));
    require(read && read->name == helo->name && read->client_pem == helo->client_pem && read->sealed == helo->sealed,
            "a HELO survives being written and read", frame);
  } else if (theirs.found) {
    require(holds_bracket(theirs.parts[2]) || holds_bracket(theirs.parts[3]), "a HELO that deployed daemons take is taken", frame);
  }
}

void check_key(std::string_view text) {
  if (const auto key = parse_key(text)) {
    const auto again = parse_key(format_key(*key));
    require(again && again->key == key->key && again->iv == key->iv && again->hostname == key->hostname && again->padding == key->padding,
            "a KEY message survives being written and read", text);
  } else {
    require(!key.error().message.empty(), "a KEY message that is refused says why", text);
  }
  if (text.empty()) return;
  const KeyText made{std::string(text), std::string(text), std::string(text.substr(0, 16)), "AES", 1};
  const auto read = parse_key(format_key(made));
  require(read && read->key == made.key && read->iv == made.iv, "whatever bytes a key has, its message can be read", text);
  require(read->hostname == to_utf8(text), "whatever a host is called, its KEY message can be read", text);
}

void check_codecs(std::string_view text) {
  require(from_hex(to_hex(text)) == text, "hexadecimal text gives the bytes back", text);
  if (const auto bytes = from_hex(text)) {
    std::string lower(text);
    for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
    require(to_hex(*bytes) == lower, "what was read as hexadecimal is hexadecimal", text);
  }
  require(parse_pubkey(format_pubkey(text)) == std::string(text), "a public key's text survives PUBKEY", text);
  if (const auto pem = parse_pubkey(text)) require(pem->size() <= text.size(), "a PUBKEY gives no more than it holds", text);
  if (is_handshake_issue(text)) require(!parse_pubkey(text) && !parse_key(text), "a refusal brings no key", text);
  if (is_get_pubkey(text)) require(!parse_pubkey(text), "the question for a key is no answer to it", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  compare_request(text);
  check_answer(text);
  compare_message_start(text);
  compare_helo(text);
  check_key(text);
  check_codecs(text);
  return 0;
}
