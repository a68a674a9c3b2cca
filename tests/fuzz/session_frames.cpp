// Frames of a session: base64, AES and padding, then the message inside. Operands are the key, the padding and two texts: one that is
// taken for a frame as it is, one that is sealed first.

#include "core/wire/base64.hpp"
#include "core/wire/session_cipher.hpp"
#include "core/wire/text.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::wire;

namespace {

SessionKey read_key(Input& input) {
  constexpr unsigned sizes[] = {16, 24, 32};
  SessionKey key;
  key.key.assign(sizes[input.below(3)], static_cast<char>(input.byte()));
  key.iv.assign(16, static_cast<char>(input.byte()));
  key.padding = static_cast<int>(input.below(3));
  return key;
}

/// One character after the other, as the codec's comment says.
std::string decode_slowly(std::string_view text) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0, count = 0;
  for (char c : text) {
    if (c == '=') break;
    const auto value = alphabet.find(c);
    if (value == alphabet.npos) continue;
    bits = bits << 6 | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count);
    bits &= (1U << count) - 1;
  }
  return bytes;
}

void check_base64(std::string_view text) {
  require(base64_decode(base64_encode(text)) == text, "base64 gives the bytes back", text);
  require(base64_decode(text) == decode_slowly(text), "base64 is read as it would be character by character", text);
}

// Whether it stands there as text or has raw bytes beside it: what is passed on as text to others is read again as the same.
void check_data(std::string_view data) {
  const auto payload = read_data(std::string(data));
  if (!payload.bytes()) return require(payload.text() == data, "text stays as it came", data);
  const auto head = parse_json(payload.head());
  const auto* object = head ? head->if_object() : nullptr;
  if (!object || object->empty() || object->contains("bytes")) return;
  const auto read = parse_json(payload.text());
  const auto* bytes = read ? member(*read, "bytes") : nullptr;
  require(bytes && bytes->is_string() && base64_decode(bytes->get_string()) == *payload.bytes(), "raw bytes can be told as text", data);
}

void check_open(const SessionCipher& cipher, std::string_view frame) {
  const auto text = cipher.open(frame);
  if (!text) return;
  require(text->size() <= frame.size(), "a frame opens to no more than it holds");
  if (frame.starts_with('\1')) {
    require(cipher.seal(*text, Form::raw) == frame, "what opens raw was sealed so with this key");
  } else if (cipher.key().padding == 1) {
    require(base64_decode(cipher.seal(*text)) == base64_decode(frame), "what opens was sealed with this key");
  }
  const auto message = looks_like_message(*text) ? parse_request(*text) : std::nullopt;
  if (message) check_data(message->data);
}

void check_seal(const SessionCipher& cipher, std::string_view plain) {
  const std::string frame = cipher.seal(std::string(plain));
  require(frame.find('\n') == frame.npos, "a sealed message is one line");
  const auto raw = cipher.seal(std::string(plain), Form::raw);
  require(raw.size() <= plain.size() + 17 && cipher.open(raw) == plain, "what was sealed raw opens", plain);
  const auto opened = cipher.open(frame);
  require(opened.has_value(), "what was sealed opens", plain);
  if (cipher.key().padding != 0) return require(*opened == plain, "what opens is what was sealed", plain);
  require(opened->size() - plain.size() < 16 && opened->starts_with(plain) && opened->find_first_not_of(' ', plain.size()) == opened->npos,
          "without padding nothing but spaces is added", plain);
}

/// One byte of a sealed message changed: it may open to something else, never to the same.
void check_damage(const SessionCipher& cipher, std::string_view plain, unsigned at, unsigned by) {
  std::string bytes = base64_decode(cipher.seal(std::string(plain)));
  if (bytes.empty() || by == 0) return;
  bytes[at % bytes.size()] = static_cast<char>(static_cast<unsigned char>(bytes[at % bytes.size()]) ^ by);
  const auto opened = cipher.open(base64_encode(bytes));
  require(!opened || *opened != cipher.open(cipher.seal(std::string(plain))), "a damaged frame does not open to the same text", plain);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const SessionCipher cipher(read_key(input));
  const unsigned at = input.byte(), by = input.byte();
  const auto frame = input.text(), plain = input.rest();
  check_base64(frame);
  check_open(cipher, frame);
  check_seal(cipher, plain);
  check_damage(cipher, plain, at, by);
  return 0;
}
