#include "wss_access.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

namespace gorgone::proxy {

std::string_view bearer_of(std::string_view header) {
  constexpr std::string_view scheme = "bearer ", blanks = " \t";
  header.remove_prefix(std::min(header.find_first_not_of(blanks), header.size()));
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto head = header.substr(0, scheme.size());
  if (!std::equal(head.begin(), head.end(), scheme.begin(), scheme.end(), [&](char c, char expected) { return lower(c) == expected; }))
    return {};
  header.remove_prefix(scheme.size());
  header.remove_prefix(std::min(header.find_first_not_of(blanks), header.size()));
  return header.substr(0, header.find_last_not_of(blanks) + 1);
}

TokenDigest digest_of(std::string_view token) {
  TokenDigest out{};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), out.data());
  return out;
}

bool is_same(const TokenDigest& left, const TokenDigest& right) { return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0; }

WssAccess::WssAccess(const std::string& common, const std::map<std::string, std::string>& by_node)
    : has_common_(!common.empty()), common_(digest_of(common)) {
  for (const auto& [name, token] : by_node) by_node_[name] = digest_of(token);
}

const TokenDigest* WssAccess::own(const std::vector<std::string>& names) const {
  for (const auto& name : names)
    if (const auto found = by_node_.find(name); found != by_node_.end()) return &found->second;
  return nullptr;
}

bool WssAccess::has_own(const std::vector<std::string>& names) const { return own(names) != nullptr; }

WssAccess::Verdict WssAccess::check(std::string_view token, const std::vector<std::string>& names) const {
  if (token.empty()) return Verdict::refused;
  const auto given = digest_of(token);
  if (const auto* expected = own(names)) return is_same(given, *expected) ? Verdict::own : Verdict::refused;
  return has_common_ && is_same(given, common_) ? Verdict::common : Verdict::refused;
}

bool WssAccess::is_known(std::string_view token) const {
  if (token.empty()) return false;
  const auto given = digest_of(token);
  bool found = has_common_ && is_same(given, common_);
  for (const auto& [name, expected] : by_node_) found = is_same(given, expected) || found;
  return found;
}

}  // namespace gorgone::proxy
