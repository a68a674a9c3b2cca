#pragma once
// The key under which an identity is here, where identities belong to keys (`clients: first`). Plain data.

#include <string>
#include <utility>
#include <vector>

namespace gorgone::mcollective {

struct IdentityKey {
  std::string key;  ///< empty: the identity belongs to no key
  /// Listed, certified, or the next one after `trust`: it takes over what the identity had under another key. One that has only come first
  /// here does not, for at another broker another one may have been earlier.
  bool is_certain = false;
};

/// Identities with what they are pinned to, as brokers tell each other: a key, one with ` trusted` behind it, `!` and a key that is
/// forgotten, or nothing: any key may have it.
using Pins = std::vector<std::pair<std::string, std::string>>;

}  // namespace gorgone::mcollective
