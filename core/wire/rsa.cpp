#include "core/wire/rsa.hpp"

#include "core/wire/base64.hpp"
#include "core/wire/openssl_types.hpp"
#include "core/wire/pem.hpp"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

namespace gorgone::wire {
namespace {

/// The operation that `init` names, PKCS#1 v1.5; nothing where it fails.
template <class Init, class Run>
std::optional<std::string> run_rsa(EVP_PKEY* key, std::string_view input, Init init, Run run) {
  const PkeyContext context{EVP_PKEY_CTX_new(key, nullptr)};
  std::string output(static_cast<std::size_t>(EVP_PKEY_get_size(key)), '\0');
  std::size_t size = output.size();
  if (context == nullptr || init(context.get()) != 1 || EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1 ||
      run(context.get(), reinterpret_cast<unsigned char*>(output.data()), &size, bytes_of(input), input.size()) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  output.resize(size);
  return output;
}

/// A member of a JWK: the number's bytes, most significant first, in base64url without padding.
std::string base64url(std::string_view bytes) {
  std::string text = base64_encode(bytes);
  text.resize(text.find_last_not_of('=') + 1);
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

std::string jwk_number(const EVP_PKEY* key, const char* name) {
  const Number number = number_of(key, name);
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number.get())), '\0');
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  return base64url(bytes);
}

template <class Write>
std::string written_pem(Write write) {
  const Bio bio{BIO_new(BIO_s_mem())};
  if (bio == nullptr || write(bio.get()) != 1) throw std::runtime_error("OpenSSL cannot write an RSA key as PEM");
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

std::string RsaPublicKey::pem() const {
  return written_pem([this](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key_.get()); });
}

std::string RsaPublicKey::thumbprint() const {
  const std::string jwk = fmt::format(R"({{"e":"{}","kty":"RSA","n":"{}"}})", jwk_number(key_.get(), OSSL_PKEY_PARAM_RSA_E),
                                      jwk_number(key_.get(), OSSL_PKEY_PARAM_RSA_N));
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (EVP_Digest(jwk.data(), jwk.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("OpenSSL offers no SHA-256");
  digest.resize(size);
  return base64url(digest);
}

Result<std::string> RsaPublicKey::encrypt(std::string_view plain) const {
  const auto most = static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()) - RSA_PKCS1_PADDING_SIZE);
  if (plain.size() > most) return Error{fmt::format("a {}-bit RSA key encrypts {} bytes at most, got {}", bits(), most, plain.size())};
  auto cipher = run_rsa(key_.get(), plain, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt);
  if (!cipher) return Error{fmt::format("nothing can be encrypted with the RSA key {}", thumbprint())};
  return std::move(*cipher);
}

int RsaPublicKey::bits() const { return EVP_PKEY_get_bits(key_.get()); }

bool RsaPublicKey::operator==(const RsaPublicKey& other) const { return EVP_PKEY_eq(key_.get(), other.key_.get()) == 1; }

Result<RsaPrivateKey> RsaPrivateKey::generate(int bits) {
  if (bits < rsa_bits_min || bits > rsa_bits_max)
    return Error{fmt::format("RSA key size: got {}, expected {} to {} bits (default 2048)", bits, rsa_bits_min, rsa_bits_max)};
  Pkey key{EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(bits))};
  if (key == nullptr) return Error{fmt::format("OpenSSL failed to make an RSA key of {} bits", bits)};
  return RsaPrivateKey{std::shared_ptr<EVP_PKEY>{std::move(key)}};
}

Result<std::string> RsaPrivateKey::decrypt(std::string_view cipher) const {
  auto plain = run_rsa(key_.get(), cipher, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt);
  if (!plain) return Error{"it cannot be decrypted with this RSA key"};
  return std::move(*plain);
}

RsaPublicKey RsaPrivateKey::public_key() const {
  // A key of its own: the public half must not keep the private one alive, nor be able to leak it.
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  const unsigned char* at = der;
  Pkey half{size > 0 ? d2i_PUBKEY(nullptr, &at, size) : nullptr};
  OPENSSL_free(der);
  if (half == nullptr) throw std::runtime_error("OpenSSL cannot take an RSA key's public half");
  return RsaPublicKey{std::shared_ptr<EVP_PKEY>{std::move(half)}};
}

std::string RsaPrivateKey::secret_for(std::string_view purpose) const {
  const auto own = pem();
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), own.data(), static_cast<int>(own.size()), bytes_of(purpose), purpose.size(),
           reinterpret_cast<unsigned char*>(digest.data()), &size) == nullptr)
    throw std::runtime_error("OpenSSL offers no HMAC");
  digest.resize(size);
  return base64url(digest);
}

std::string RsaPrivateKey::pem() const {
  return written_pem(
      [this](BIO* bio) { return PEM_write_bio_PrivateKey_traditional(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr); });
}

int RsaPrivateKey::bits() const { return EVP_PKEY_get_bits(key_.get()); }

}  // namespace gorgone::wire
