#pragma once
// The agent's own key pair and whom it knows: the private key, authorized_clients, how server keys are pinned. Read-only
// after the start, shared by listener and dialers.

#include "core/wire/rsa.hpp"

#include <string>
#include <unordered_set>

namespace gorgone::net {

enum class FingerprintMode { first, always, strict };

struct KeyRing {
  wire::RsaPrivateKey private_key;
  wire::RsaPublicKey public_key;
  std::unordered_set<std::string> authorized;  ///< thumbprints
  FingerprintMode fingerprint_mode = FingerprintMode::first;
};

}  // namespace gorgone::net
