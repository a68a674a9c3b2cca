#include "foreign_claims.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <utility>

namespace gorgone::proxy {
namespace {

constexpr std::int64_t pause_s = 60;
constexpr std::size_t named_max = 10, id_shown_max = 64;

}  // namespace

bool ForeignClaims::is_due(const std::string& node, std::int64_t now) {
  auto& told = told_[node];
  if (now < told.again) return false;
  told.again = now + pause_s;
  return true;
}

std::optional<std::string> ForeignClaims::line(const std::string& node, const std::map<std::string, std::string>& claims) {
  std::string text;
  std::size_t named = 0;
  for (const auto& [target, owner] : claims) {
    if (++named > named_max) break;
    const auto whose = owner == target ? std::string("registered here") : fmt::format("by node '{}'", printable(owner));
    text += fmt::format("{}'{}' ({})", text.empty() ? "" : ", ", printable(target, id_shown_max), whose);
  }
  if (claims.size() > named_max) text += fmt::format(" and {} more", claims.size() - named_max);
  if (std::exchange(told_[node].claims, text) == text || claims.empty()) return {};
  return fmt::format(
      "node '{}' says that nodes are behind it to which others lead: {}. What is for these does not go there, also while the others are "
      "away, for nothing of its own shows that it is this node; expected a token of its own (httpserver.nodes), or these nodes in its "
      "entry",
      printable(node), text);
}

}  // namespace gorgone::proxy
