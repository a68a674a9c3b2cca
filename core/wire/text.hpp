#pragma once
// The plaintext of messages and of the handshake (docs/protocol.md, Handshake, Messages). Pure functions, linear in the length of
// what a stranger sends.

#include "core/wire/session_cipher.hpp"

#include <gorgone/message.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace gorgone::wire {

/// `[ACTION] [TOKEN] [TARGET] DATA`; views into the text it was parsed from.
struct MessageText {
  std::string_view action, token;
  std::optional<std::string_view> target;  ///< answers have none
  std::string_view data;
};

/// A request: three brackets, white space after the third. Nothing where it has another form.
std::optional<MessageText> parse_request(std::string_view text);
/// An answer: two brackets or three.
std::optional<MessageText> parse_answer(std::string_view text);
/// True where the text begins as every message does: `[` letters, digits, `_`, `-` `]`.
bool looks_like_message(std::string_view text);

/// The form in which a peer gets the message: raw where there are raw bytes and it takes them.
inline Form form_for(const Message& message, bool takes_raw) { return takes_raw && message.data.bytes() ? Form::raw : Form::base64; }
/// In raw form `[ACTION] [TOKEN] [TARGET] NUL head NUL bytes`.
std::string format_request(const Message& message, Form form = Form::base64);
/// What stands behind the brackets, of either form: the text from `begin` on.
Payload read_data(std::string text, std::size_t begin = 0);
/// PONG and SYNCLOGS have an empty target bracket, other answers none.
std::string format_answer(const Answer& answer);

/// PUBKEY and HELO have at most so many bytes: a key of 16384 bits in PEM, twice in base64, and the sealed word are below 16 KB.
inline constexpr std::size_t greeting_size_max = 65536;

inline constexpr std::string_view get_pubkey = "[GETPUBKEY]";
bool is_get_pubkey(std::string_view frame);
std::string format_pubkey(std::string_view pem);
/// The PEM text in `[PUBKEY] [base64]`.
std::optional<std::string> parse_pubkey(std::string_view frame);

/// `[name] [base64 of a public key's PEM] [base64 of the encrypted HELO]`.
struct HeloText {
  std::string name;
  std::string client_pem;
  std::string sealed;  ///< raw bytes
};
std::optional<HeloText> parse_helo(std::string_view frame);
std::string format_helo(const HeloText& helo);

/// The KEY message that begins a session or changes its key.
struct KeyText {
  std::string hostname;
  std::string key, iv;  ///< raw bytes
  std::string cipher = "AES";
  int padding = 1;
};
std::string format_key(const KeyText& key);
/// An Error says which member is missing or wrong.
Result<KeyText> parse_key(std::string_view text);

/// The answer, not encrypted, to what no session can read and what is no valid HELO.
extern const std::string_view handshake_issue;
bool is_handshake_issue(std::string_view frame);

std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view hex);

}  // namespace gorgone::wire
