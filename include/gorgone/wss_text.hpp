#pragma once
// The text of messages over WebSockets (docs/protocol.md, "WebSockets"): plain messages, with HTML entities on the way from a node to
// its central. Pure functions.

#include <gorgone/message.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace gorgone::wss {

/// Each byte but letters, digits, white space and !#$%()*+,-./:;=?@[\]^_`{|}~ as an entity: `&amp;` `&lt;` `&gt;` `&quot;` or `&#N;`
/// with the byte's value.
GORGONE_API std::string encode_entities(std::string_view text);
/// Takes numbers, the names that XML and Latin-1 have, and text that is not encoded at all, which is told by a quotation mark or a `<`
/// in it. A character up to 255 becomes one byte, for encoded texts are bytes of UTF-8; any other becomes UTF-8.
GORGONE_API std::string decode_entities(std::string text);

/// A message or an answer: `[ACTION] [TOKEN] [TARGET] JSON`, the third bracket may be missing. Nothing where it is none.
GORGONE_API std::optional<Message> read_message(std::string_view text);
/// UTF-8 whatever the data holds, as a WebSocket must have it.
GORGONE_API std::string write_request(const Message& message);
/// `[ACK] [TOKEN] {"code":…,"data":…}`; every other kind has an empty third bracket.
GORGONE_API std::string write_answer(const Answer& answer);

/// The header in which a node of ours shows the secret by which its central knows it again, beside a token that several nodes have.
inline constexpr const char* secret_header = "X-Gorgone-Node-Secret";
/// What the secret is made for, of the node's private key (Agent::secret_for).
inline constexpr const char* secret_purpose = "pullwss";
/// What is kept of a secret, and told in logs: 64 hexadecimal digits, SHA-256.
GORGONE_API std::string thumbprint_of_secret(std::string_view secret);

/// The text in which a central refuses a connection before it closes it.
GORGONE_API std::string write_refusal(std::string_view message);
/// Its message; nothing where the text is none.
GORGONE_API std::optional<std::string> read_refusal(std::string_view text);

}  // namespace gorgone::wss
