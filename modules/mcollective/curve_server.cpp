#include "curve_server.hpp"

#include <cstring>

namespace gorgone::mcollective {
namespace {

constexpr std::size_t key_size = crypto_box_PUBLICKEYBYTES, tag = crypto_box_MACBYTES, short_nonce = 8, long_nonce = 16, cookie_size = 96;
// HELLO: name, version, padding, the client's transient key, nonce, box of 64 zeros.
constexpr std::size_t hello_key = 80, hello_nonce = hello_key + key_size, hello_box = hello_nonce + short_nonce, hello_zeros = 64,
                      hello_size = hello_box + tag + hello_zeros;
// INITIATE: name, cookie, nonce, box of the client's key, a nonce, the vouch and metadata. The vouch: box of transient key and our key.
constexpr std::size_t initiate_cookie = 9, initiate_nonce = initiate_cookie + cookie_size, initiate_box = initiate_nonce + short_nonce;
constexpr std::size_t vouch_nonce = key_size, vouch_box = vouch_nonce + long_nonce, vouch_size = 2 * key_size,
                      metadata_at = vouch_box + tag + vouch_size;

using Nonce = std::array<unsigned char, crypto_box_NONCEBYTES>;
using SharedKey = std::array<unsigned char, crypto_box_BEFORENMBYTES>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

Nonce nonce_of(std::string_view prefix, std::string_view rest) {
  Nonce nonce;
  std::memcpy(nonce.data(), prefix.data(), prefix.size());
  std::memcpy(nonce.data() + prefix.size(), rest.data(), rest.size());
  return nonce;
}

std::uint64_t number_of(std::string_view bytes) {
  std::uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

std::string random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  randombytes_buf(bytes.data(), size);
  return bytes;
}

std::string seal(std::string_view text, const Nonce& nonce, const SharedKey& key) {
  std::string box(tag + text.size(), '\0');
  crypto_box_easy_afternm(bytes_of(box), bytes_of(text), text.size(), nonce.data(), key.data());
  return box;
}

bool open(std::string& text, std::string_view box, const Nonce& nonce, const SharedKey& key) {
  text.resize(box.size() - tag);
  return crypto_box_open_easy_afternm(bytes_of(text), bytes_of(box), box.size(), nonce.data(), key.data()) == 0;
}

}  // namespace

CurveServer::~CurveServer() {
  sodium_memzero(transient_secret_.data(), transient_secret_.size());
  sodium_memzero(shared_.data(), shared_.size());
}

Result<std::string> CurveServer::on_hello(std::string_view body) {
  if (body.size() != hello_size || body.substr(0, 6) != "\5HELLO")
    return Error{"its HELLO is none of CURVE: " + std::to_string(body.size()) + " bytes, expected " + std::to_string(hello_size)};
  if (body[6] != 1 || body[7] != 0) return Error{"it speaks another version of CURVE than 1.0"};
  std::memcpy(client_transient_.data(), body.data() + hello_key, key_size);
  SharedKey shared;
  if (crypto_box_beforenm(shared.data(), client_transient_.data(), bytes_of(keys_.secret_key)) != 0)
    return Error{"its transient key is none"};
  const auto number = body.substr(hello_nonce, short_nonce);
  client_nonce_ = number_of(number);
  std::string zeros;
  if (!open(zeros, body.substr(hello_box), nonce_of("CurveZMQHELLO---", number), shared) || zeros != std::string(hello_zeros, '\0'))
    return Error{"its HELLO is not sealed for the key of this broker: the client has another server key"};

  crypto_box_keypair(transient_.data(), transient_secret_.data());
  cookie_ = random_bytes(cookie_size);
  const auto nonce = random_bytes(long_nonce);
  const auto text = std::string(transient_.begin(), transient_.end()) + cookie_;
  std::string welcome = "\7WELCOME" + nonce;
  welcome += seal(text, nonce_of("WELCOME-", nonce), shared);
  return welcome;
}

Result<CurveServer::Client> CurveServer::on_initiate(std::string_view body) {
  if (body.size() < initiate_box + tag + metadata_at || body.substr(0, initiate_cookie) != "\10INITIATE")
    return Error{"its INITIATE is none of CURVE: " + std::to_string(body.size()) + " bytes"};
  if (sodium_memcmp(body.data() + initiate_cookie, cookie_.data(), cookie_size) != 0)
    return Error{"its INITIATE holds another cookie than it was given"};
  if (crypto_box_beforenm(shared_.data(), client_transient_.data(), transient_secret_.data()) != 0)
    return Error{"its transient key is none"};
  const auto number = body.substr(initiate_nonce, short_nonce);
  if (number_of(number) <= client_nonce_) return Error{"its INITIATE comes under a nonce that was used"};
  client_nonce_ = number_of(number);
  std::string text;
  if (!open(text, body.substr(initiate_box), nonce_of("CurveZMQINITIATE", number), shared_))
    return Error{"its INITIATE is not sealed for this connection"};

  // The client's lasting key vouches for the transient one, for this server alone.
  Client client{text.substr(0, key_size), text.substr(metadata_at)};
  SharedKey lasting;
  std::string vouch;
  const std::string_view whole = text;
  const bool is_opened =
      crypto_box_beforenm(lasting.data(), bytes_of(client.key), transient_secret_.data()) == 0 &&
      open(vouch, whole.substr(vouch_box, tag + vouch_size), nonce_of("VOUCH---", whole.substr(vouch_nonce, long_nonce)), lasting);
  if (!is_opened || std::memcmp(vouch.data(), client_transient_.data(), key_size) != 0 || vouch.substr(key_size) != keys_.public_key)
    return Error{"it does not prove to have the secret of the key that it shows"};
  return client;
}

std::string CurveServer::ready(std::string_view metadata) const {
  const std::string number("\0\0\0\0\0\0\0\1", short_nonce);
  return "\5READY" + number + seal(metadata, nonce_of("CurveZMQREADY---", number), shared_);
}

}  // namespace gorgone::mcollective
