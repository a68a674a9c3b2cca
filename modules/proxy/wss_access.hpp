#pragma once
// Which token lets in which node. Pure; tokens are kept as digests and compared in constant time.

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::proxy {

/// The token in "Bearer token", empty where the header is something else.
std::string_view bearer_of(std::string_view header);

using TokenDigest = std::array<unsigned char, 32>;
TokenDigest digest_of(std::string_view token);
bool is_same(const TokenDigest& left, const TokenDigest& right);

class WssAccess {
 public:
  /// `by_node`: tokens by id or uid. An empty common token lets nobody in.
  WssAccess(const std::string& common, const std::map<std::string, std::string>& by_node);

  enum class Verdict {
    refused,
    common,  ///< the token that several nodes have: it does not say which node this is
    own,     ///< the node's own
  };
  /// `names` are all that the node goes by: its id, its uid.
  Verdict check(std::string_view token, const std::vector<std::string>& names) const;
  /// True where the node has a token of its own here, so that no other decides.
  bool has_own(const std::vector<std::string>& names) const;
  /// True where the token is the common one or that of any node.
  bool is_known(std::string_view token) const;

 private:
  const TokenDigest* own(const std::vector<std::string>& names) const;

  bool has_common_;
  TokenDigest common_;
  std::map<std::string, TokenDigest> by_node_;
};

}  // namespace gorgone::proxy
