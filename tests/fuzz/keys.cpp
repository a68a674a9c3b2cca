// RSA keys from PEM text, as strangers send them. The first byte says whether the rest is text, or the bytes within a block whose label
// it names as well.

#include "core/wire/base64.hpp"
#include "core/wire/rsa.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::wire;

namespace {

bool is_thumbprint(std::string_view text) {
  return text.size() == 43 &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == std::string_view::npos;
}

void check_public(const RsaPublicKey& key) {
  require(key.bits() >= rsa_bits_min && key.bits() <= rsa_bits_max, "a key that is taken has a size that is expected");
  require(is_thumbprint(key.thumbprint()), "a thumbprint has 43 characters of base64url");
  const auto again = RsaPublicKey::from_pem(key.pem());
  require(again && *again == key, "a public key survives being written and read");
  require(again->thumbprint() == key.thumbprint(), "and so does its thumbprint");
  // Dear with a large modulus, and a stranger's key is not used before it was found to be authorized.
  if (key.bits() > 2100) return;
  const auto sealed = key.encrypt("HELO");
  if (sealed) require(sealed->size() == static_cast<std::size_t>(key.bits() + 7) / 8, "what is encrypted has the key's size");
  const auto most = static_cast<std::size_t>((key.bits() + 7) / 8 - 11);
  require(!key.encrypt(std::string(most + 1, 'x')), "what is too long for a key is refused");
}

void check_private(const RsaPrivateKey& key) {
  if (key.bits() > 2100) return;
  const auto half = key.public_key();
  check_public(half);
  const auto sealed = half.encrypt("HELO");
  require(sealed.has_value(), "a key pair that is taken encrypts");
  const auto opened = key.decrypt(*sealed);
  require(opened && *opened == "HELO", "a key pair that is taken decrypts what it encrypted");
  const auto again = RsaPrivateKey::from_pem(key.pem());
  require(again && again->public_key() == half, "a private key survives being written and read");
}

void check(const std::string& text) {
  const auto open = RsaPublicKey::from_pem(text);
  const auto secret = RsaPrivateKey::from_pem(text);
  const bool is_locked = text.find("ENCRYPTED") != text.npos;
  const auto unlocked = is_locked ? RsaPrivateKey::from_pem(text, "open sesame") : secret;
  require(!(open && secret), "no text is both a public and a private key", text);
  if (open)
    check_public(*open);
  else
    require(is_one_clean_line(open.error().message), "a refused public key says why on one line", open.error().message);
  if (!secret) require(is_one_clean_line(secret.error().message), "a refused private key says why on one line", secret.error().message);
  require(unlocked.has_value() || !secret, "a key that needs no passphrase opens with one too", text);
  if (unlocked) check_private(*unlocked);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  constexpr const char* labels[] = {"PUBLIC KEY", "RSA PUBLIC KEY", "PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"};
  const auto form = input.below(6);
  const std::string rest(input.rest());
  if (form == 5) {
    check(rest);
  } else {
    const std::string label = labels[form];
    check("-----BEGIN " + label + "-----\n" + base64_encode(rest) + "\n-----END " + label + "-----\n");
  }
  return 0;
}
