#pragma once
// RSA keys of the handshake (docs/protocol.md, Handshake). Values: a copy shares the key, which never changes, so any thread may use
// any copy at any time. A private operation takes milliseconds (4.5 ms at 4096 bits): run it on the pool.
//
// PEM text is decoded by content, never by its label: deployed daemons write "RSA PUBLIC KEY" over an SPKI structure.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <memory>
#include <string>
#include <string_view>

using EVP_PKEY = struct evp_pkey_st;

namespace gorgone::wire {

inline constexpr int rsa_bits_min = 1024;
inline constexpr int rsa_bits_max = 16384;

class GORGONE_API RsaPublicKey {
 public:
  /// PKCS#1 or SPKI under whatever label, 1024 to 16384 bits, an odd exponent above 1. Costs little whatever a peer wrote: nothing is
  /// computed with its numbers.
  static Result<RsaPublicKey> from_pem(std::string_view text);

  /// SPKI, "BEGIN PUBLIC KEY": the form that every peer reads.
  std::string pem() const;
  /// RFC 7638, SHA-256, 43 characters: what `authorized_clients` lists.
  std::string thumbprint() const;
  /// PKCS#1 v1.5; `plain` may have up to bits/8 - 11 bytes.
  Result<std::string> encrypt(std::string_view plain) const;
  int bits() const;

  /// The same modulus and exponent.
  bool operator==(const RsaPublicKey& other) const;

 private:
  friend class RsaPrivateKey;
  explicit RsaPublicKey(std::shared_ptr<EVP_PKEY> key) : key_{std::move(key)} {}

  std::shared_ptr<EVP_PKEY> key_;
};

class GORGONE_API RsaPrivateKey {
 public:
  /// PKCS#1 or PKCS#8 under whatever label, encrypted or not. A key whose halves do not belong together is refused. For files of this
  /// machine: a key that is made for it costs minutes.
  static Result<RsaPrivateKey> from_pem(std::string_view text, std::string_view passphrase = {});
  /// Draws a key; takes from 0.1 s (2048 bits) to many seconds (above 4096).
  static Result<RsaPrivateKey> generate(int bits);

  /// PKCS#1 v1.5. Every failure has the same message, so that nothing a peer is told can tell them apart.
  Result<std::string> decrypt(std::string_view cipher) const;
  RsaPublicKey public_key() const;
  /// A secret for one purpose: the same each time, of 43 characters (base64url), and telling nothing of the key or of those for others.
  std::string secret_for(std::string_view purpose) const;
  /// PKCS#1, "BEGIN RSA PRIVATE KEY", not encrypted: as deployed. A secret: never log it.
  std::string pem() const;
  int bits() const;

 private:
  explicit RsaPrivateKey(std::shared_ptr<EVP_PKEY> key) : key_{std::move(key)} {}

  std::shared_ptr<EVP_PKEY> key_;
};

/// Key files; errors name the file and why. A private key's file serves as a public key too: its public half is taken.
GORGONE_API Result<RsaPublicKey> load_public_key(const std::string& file);
GORGONE_API Result<RsaPrivateKey> load_private_key(const std::string& file, std::string_view passphrase = {});

/// Whether users other than the owner and its group may read `file`; false where it cannot be looked at.
GORGONE_API bool readable_by_others(const std::string& file);

}  // namespace gorgone::wire
