// Reading RSA keys from PEM text and files: RsaPublicKey::from_pem, RsaPrivateKey::from_pem and what stands on them.

#include "core/wire/openssl_types.hpp"
#include "core/wire/pem.hpp"
#include "core/wire/rsa.hpp"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace gorgone::wire {
namespace {

// Far above the 12 KB of a private key of 16384 bits.
constexpr std::size_t file_size_max = 64 * 1024;

template <class Decode>
Pkey decoded(const std::string& der, Decode decode) {
  const unsigned char* at = bytes_of(der);
  Pkey key{decode(&at, static_cast<long>(der.size()))};
  ERR_clear_error();
  return key;
}

Pkey decode_public(const std::string& der) {
  Pkey key = decoded(der, [](const unsigned char** at, long size) { return d2i_PUBKEY(nullptr, at, size); });
  if (!key) key = decoded(der, [](const unsigned char** at, long size) { return d2i_PublicKey(EVP_PKEY_RSA, nullptr, at, size); });
  return key;
}

bool is_named_private(const PemBlock& block) { return block.label.find("PRIVATE") != std::string::npos; }

/// Of our own files only, never of what a peer sent: see RsaPublicKey::from_pem.
Pkey decode_private(const std::string& der) {
  return decoded(der, [](const unsigned char** at, long size) { return d2i_AutoPrivateKey(nullptr, at, size); });
}

int give_passphrase(char* buffer, int size, int, void* passphrase) {
  const auto& text = *static_cast<const std::string_view*>(passphrase);
  if (text.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(buffer, text.data(), text.size());
  return static_cast<int>(text.size());
}

Pkey decrypt_private(std::string_view text, std::string_view passphrase) {
  const Bio bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
  Pkey key{PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &passphrase)};
  ERR_clear_error();
  return key;
}

/// What is wrong with a key as an RSA key; empty when nothing is.
std::string flaw_of(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
    const char* const name = EVP_PKEY_get0_type_name(key);
    return fmt::format("it is of the kind {}", name != nullptr ? name : "unknown");
  }
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < rsa_bits_min || bits > rsa_bits_max) return fmt::format("it has {} bits, expected {} to {}", bits, rsa_bits_min, rsa_bits_max);
  const Number exponent = number_of(key, OSSL_PKEY_PARAM_RSA_E);
  if (BN_is_odd(exponent.get()) != 1 || BN_is_one(exponent.get()) == 1) return "its exponent is not an odd number above 1";
  const Number modulus = number_of(key, OSSL_PKEY_PARAM_RSA_N);
  if (BN_is_odd(modulus.get()) != 1) return "its modulus is even";
  if (BN_cmp(exponent.get(), modulus.get()) >= 0) return "its exponent is not below its modulus";
  return {};
}

bool halves_match(const RsaPrivateKey& key) {
  constexpr std::string_view probe = "probe";
  const auto sealed = key.public_key().encrypt(probe);
  if (!sealed) return false;
  const auto opened = key.decrypt(*sealed);
  return opened && *opened == probe;
}

Error no_key(std::string_view which, std::string_view why) { return {fmt::format("no RSA {} key: {}", which, why)}; }

Result<std::string> read_key_file(const std::string& file) {
  errno = 0;
  std::ifstream stream{file, std::ios::binary};
  if (!stream) return Error{fmt::format("{}: cannot be read: {}", file, std::strerror(errno))};
  std::string text(file_size_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) return Error{fmt::format("{}: cannot be read: {}", file, std::strerror(errno))};
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > file_size_max) return Error{fmt::format("{}: no key file: it is above {} KB", file, file_size_max / 1024)};
  return text;
}

Error in_file(const std::string& file, const Error& error) { return {fmt::format("{}: {}", file, error.message)}; }

}  // namespace

Result<RsaPublicKey> RsaPublicKey::from_pem(std::string_view text) {
  const auto block = find_pem_key(text);
  if (!block) return no_key("public", block.error().message);
  Pkey key = decode_public(block->der);
  // Told by the label alone: OpenSSL works out the public half of what it decodes as a private key, and a stranger's DSA key of 60 KB
  // would cost minutes.
  if (!key && (block->encrypted || is_named_private(*block))) return no_key("public", "it is a private key");
  if (!key) return no_key("public", fmt::format("what its {} block holds is neither PKCS#1 nor SPKI", block->label));
  if (const auto flaw = flaw_of(key.get()); !flaw.empty()) return no_key("public", flaw);
  return RsaPublicKey{std::shared_ptr<EVP_PKEY>{std::move(key)}};
}

Result<RsaPrivateKey> RsaPrivateKey::from_pem(std::string_view text, std::string_view passphrase) {
  const auto block = find_pem_key(text);
  if (!block) return no_key("private", block.error().message);
  if (block->encrypted && passphrase.empty()) return no_key("private", "it is encrypted and there is no passphrase for it");
  Pkey key = block->encrypted ? decrypt_private(text, passphrase) : decode_private(block->der);
  if (!key && block->encrypted) return no_key("private", "it is encrypted and the passphrase does not open it");
  if (!key && decode_public(block->der)) return no_key("private", "it is a public key");
  if (!key) return no_key("private", fmt::format("what its {} block holds is neither PKCS#1 nor PKCS#8", block->label));
  if (const auto flaw = flaw_of(key.get()); !flaw.empty()) return no_key("private", flaw);
  RsaPrivateKey whole{std::shared_ptr<EVP_PKEY>{std::move(key)}};
  if (!halves_match(whole)) return no_key("private", "its public and private halves do not belong together");
  return whole;
}

Result<RsaPublicKey> load_public_key(const std::string& file) {
  const auto text = read_key_file(file);
  if (!text) return text.error();
  auto key = RsaPublicKey::from_pem(*text);
  if (key) return key;
  const auto whole = RsaPrivateKey::from_pem(*text);
  if (whole) return whole->public_key();
  const auto block = find_pem_key(*text);
  return in_file(file, block && is_named_private(*block) ? whole.error() : key.error());
}

Result<RsaPrivateKey> load_private_key(const std::string& file, std::string_view passphrase) {
  const auto text = read_key_file(file);
  if (!text) return text.error();
  auto key = RsaPrivateKey::from_pem(*text, passphrase);
  if (!key) return in_file(file, key.error());
  return key;
}

bool readable_by_others(const std::string& file) {
  struct stat found {};
  return ::stat(file.c_str(), &found) == 0 && (found.st_mode & S_IROTH) != 0;
}

}  // namespace gorgone::wire
