#pragma once
// The armour of PEM text. Pure, any thread. What the bytes inside are is for the caller to find out: labels lie.

#include <gorgone/result.hpp>

#include <string>
#include <string_view>

namespace gorgone::wire {

struct PemBlock {
  std::string label;       ///< "RSA PUBLIC KEY"
  std::string der;         ///< the decoded bytes
  bool encrypted = false;  ///< `der` is of use only with a passphrase
};

/// The first block whose label ends in "KEY"; other blocks (certificates, parameters) and any text around are passed over. The error
/// says what there is in place of one, to follow "no RSA … key: ".
Result<PemBlock> find_pem_key(std::string_view text);

}  // namespace gorgone::wire
