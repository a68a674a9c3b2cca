#pragma once
// What `gorgonectl mcollective ca|sign|revoke` do with the operator's key: files in, files out. No network.

#include <gorgone/result.hpp>

#include <string>
#include <vector>

namespace gorgone::ctl {

struct SignWish {
  std::string ca, key, identity, duration = "30d", from, out;
  std::vector<std::string> publish, subscribe;
  bool says_publish = false, says_subscribe = false;  ///< the option was given, if only as ''
};
struct RevokeWish {
  std::string ca, list;
  std::vector<std::string> what;  ///< serials, keys, files of keys
  bool is_undo = false;
};

/// Makes the operator's key and prints where it is.
Result<void> make_authority(const std::string& directory);
/// The text of a certificate; written to `out` where that is named.
Result<std::string> sign_certificate(const SignWish& wish);
/// The text of the new list of revocations, which is in its file.
Result<std::string> revoke(const RevokeWish& wish);
/// Prints certificates in files and directories, checked against the authority in `ca` where that is named.
Result<void> list_certificate_files(const std::vector<std::string>& paths, const std::string& ca);

}  // namespace gorgone::ctl
