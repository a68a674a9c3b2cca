#include "core/wire/session_cipher.hpp"

#include "core/wire/base64.hpp"
#include "core/wire/openssl_types.hpp"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <climits>
#include <stdexcept>

namespace gorgone::wire {
namespace {

constexpr std::size_t block = 16;
constexpr char raw_mark = '\1';
constexpr int raw_padding = 1;

/// Fetched once for the process: OpenSSL 3 looks an algorithm up by name at each use otherwise.
const EVP_CIPHER* cipher_for(std::size_t keysize) {
  static const Cipher aes_128{EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr)};
  static const Cipher aes_192{EVP_CIPHER_fetch(nullptr, "AES-192-CBC", nullptr)};
  static const Cipher aes_256{EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)};
  return keysize == 16 ? aes_128.get() : keysize == 24 ? aes_192.get() : aes_256.get();
}

/// One context per thread in place of two per session: ten thousand idle sessions then cost no more than their keys, and setting
/// the key anew is a small part of sealing a message.
EVP_CIPHER_CTX* this_threads_context() {
  thread_local const CipherContext context{EVP_CIPHER_CTX_new()};
  return context.get();
}

/// Ready to run `key` from its iv on; blocks are padded by hand.
bool prepare(EVP_CIPHER_CTX* context, const SessionKey& key, bool encrypt) {
  const EVP_CIPHER* const cipher = cipher_for(key.key.size());
  if (context == nullptr || cipher == nullptr) return false;
  // Naming the cipher again would cost a third of the work, and padding stays off once it is.
  const bool same = EVP_CIPHER_CTX_get0_cipher(context) == cipher;
  const int done = EVP_CipherInit_ex2(context, same ? nullptr : cipher, bytes_of(key.key), bytes_of(key.iv), encrypt ? 1 : 0, nullptr);
  return done == 1 && (same || EVP_CIPHER_CTX_set_padding(context, 0) == 1);
}

/// In place, from `begin` on; what is there is whole blocks.
void run_aes(const SessionKey& key, std::string& text, bool encrypt, std::size_t begin = 0) {
  EVP_CIPHER_CTX* const context = this_threads_context();
  if (text.size() > INT_MAX) throw std::length_error("a message above 2 GB cannot be sealed or opened");
  if (!prepare(context, key, encrypt)) throw std::runtime_error("OpenSSL offers no AES in CBC mode");
  auto* const data = reinterpret_cast<unsigned char*>(text.data()) + begin;
  const int size = static_cast<int>(text.size() - begin);
  int written = 0;
  if (EVP_CipherUpdate(context, data, &written, data, size) != 1 || written != size) throw std::runtime_error("OpenSSL failed to run AES");
}

/// Fills up to whole blocks, of which none is in the first `before` bytes.
void pad(std::string& text, int padding, std::size_t before) {
  const std::size_t missing = block - (text.size() - before) % block;
  if (padding == 0) {
    if (missing < block) text.append(missing, ' ');
  } else if (padding == 1) {
    text.append(missing, static_cast<char>(missing));
  } else {
    text.push_back('\x80');
    text.append(missing - 1, '\0');
  }
}

/// How long the text is without its padding; nothing where there is no sound padding.
std::optional<std::size_t> unpadded_size(std::string_view text, int padding) {
  if (padding == 0) return text.size();
  if (text.empty()) return std::nullopt;
  const std::string_view last = text.substr(text.size() - block);
  if (padding == 1) {
    const auto count = static_cast<unsigned char>(last.back());
    if (count < 1 || count > block || last.find_first_not_of(last.back(), block - count) != last.npos) return std::nullopt;
    return text.size() - count;
  }
  const std::size_t mark = last.find_last_not_of('\0');
  if (mark == last.npos || last[mark] != '\x80') return std::nullopt;
  return text.size() - block + mark;
}

}  // namespace

std::optional<Error> SessionKey::problem() const {
  if (key.size() != 16 && key.size() != 24 && key.size() != 32)
    return Error{fmt::format("session key: got {} bytes, expected 16, 24 or 32", key.size())};
  if (iv.size() != block) return Error{fmt::format("session iv: got {} bytes, expected {}", iv.size(), block)};
  if (padding < 0 || padding > 2) return Error{fmt::format("session padding: got {}, expected 0, 1 or 2", padding)};
  return std::nullopt;
}

Result<SessionKey> SessionKey::draw(int keysize, int padding) {
  if (keysize != 16 && keysize != 24 && keysize != 32)
    return Error{fmt::format("external_com_keysize: got {}, expected 16, 24 or 32 bytes (default 32)", keysize)};
  if (padding < 0 || padding > 2) return Error{fmt::format("external_com_padding: got {}, expected 0, 1 or 2 (default 1)", padding)};
  SessionKey drawn{std::string(static_cast<std::size_t>(keysize), '\0'), std::string(block, '\0'), padding};
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(drawn.key.data()), keysize) != 1 ||
      RAND_bytes(reinterpret_cast<unsigned char*>(drawn.iv.data()), static_cast<int>(block)) != 1)
    return Error{"the system gave no random bytes for a session key"};
  return drawn;
}

SessionCipher::SessionCipher(SessionKey key) : key_{std::move(key)} {
  if (const auto problem = key_.problem()) throw std::invalid_argument(problem->message);
}

std::string SessionCipher::seal(std::string text, Form form) const {
  if (form == Form::raw) {
    text.insert(text.begin(), raw_mark);
    pad(text, raw_padding, 1);
    run_aes(key_, text, true, 1);
    return text;
  }
  pad(text, key_.padding, 0);
  run_aes(key_, text, true);
  return base64_encode(text);
}

std::optional<std::string> SessionCipher::open(std::string_view frame) const {
  const bool is_raw = frame.starts_with(raw_mark);
  std::string text = is_raw ? std::string(frame.substr(1)) : base64_decode(frame);
  if (text.size() % block != 0) return std::nullopt;
  run_aes(key_, text, false);
  const auto size = unpadded_size(text, is_raw ? raw_padding : key_.padding);
  if (!size) return std::nullopt;
  text.resize(*size);
  return text;
}

}  // namespace gorgone::wire
