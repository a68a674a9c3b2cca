#pragma once
// Certificates of client keys and lists of revoked ones, signed by an operator's Ed25519 key. Texts in and out, no files (authority.hpp has
// those); any thread. A text is lines "name: value" in this order, and its last line is the signature of the exact bytes before it:
//
//   gorgone mcollective certificate 1        gorgone mcollective revocations 1
//   serial: 0193f6a2c41e5d0c9a17             number: 3
//   key: <40 characters of Z85>              issued: 2026-11-22T13:30:00Z
//   identity: web*.example.com               issuer: <64 hexadecimal digits>
//   publish: * reply **                      serial: 0193f6a2c41e5d0c9a17
//   subscribe: * nodes %i                    key: <40 characters of Z85>
//   not_before: 2026-11-22T13:30:00Z         signature: <128 hexadecimal digits>
//   not_after: 2026-12-22T13:30:00Z
//   issuer: <64 hexadecimal digits>
//   signature: <128 hexadecimal digits>
//
// `publish` and `subscribe` come any number of times; absent: nothing is said of that direction; one empty one: nothing is allowed.

#include <gorgone/result.hpp>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "topic_rules.hpp"

namespace gorgone::mcollective {

/// An operator's key that signs.
struct Authority {
  std::string public_key;  ///< 32 bytes
  std::string secret_key;  ///< 64 bytes, as libsodium has it; empty where only the public half is known
  std::string thumbprint() const;
};
Authority new_authority();
/// SHA-256 of a public key, in hexadecimal digits.
std::string thumbprint_of(std::string_view public_key);

/// Whose signatures count: thumbprint → public key.
using Authorities = std::map<std::string, std::string, std::less<>>;

struct Certificate {
  std::string serial;    ///< new_serial(): a later one is greater
  std::string key;       ///< the client's CURVE key in Z85
  std::string identity;  ///< pattern of the identities it may have
  TopicPermits topics;
  std::int64_t not_before_s = 0, not_after_s = 0;  ///< since 1970; the second not_after is the first in which it is not valid
  std::string issuer;                              ///< thumbprint, set by sign()
};

struct Revocations {
  std::uint64_t number = 0;  ///< rises with each list of an issuer; an older list never takes the place of a newer one
  std::int64_t issued_s = 0;
  std::string issuer;  ///< thumbprint, set by sign()
  std::set<std::string, std::less<>> serials, keys;
  bool revokes_the_same_as(const Revocations& other) const { return serials == other.serials && keys == other.keys; }
};

/// 20 hexadecimal digits: milliseconds since 1970, then chance.
std::string new_serial();
bool is_serial(std::string_view text);

/// An Error says which member is wrong.
Result<std::string> sign(const Certificate& certificate, const Authority& authority);
Result<std::string> sign(const Revocations& revocations, const Authority& authority);

/// Reads and checks the signature; whether it is valid now, is not looked at. An Error says what is wrong with it.
Result<Certificate> read_certificate(std::string_view text, const Authorities& authorities);
Result<Revocations> read_revocations(std::string_view text, const Authorities& authorities);
bool is_revocations(std::string_view text);

/// Without any look at the signature, for tools that only show it.
Result<Certificate> read_unverified(std::string_view text);

/// "2026-11-22T13:30:00Z", always UTC.
std::string time_text(std::int64_t seconds);
Result<std::int64_t> read_time(std::string_view text);
/// "30d", "12h", "90m", "45s", "2w": seconds, at most 100 years.
Result<std::int64_t> read_duration(std::string_view text);

}  // namespace gorgone::mcollective
