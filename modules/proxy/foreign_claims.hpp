#pragma once
// What a node that may be anybody says is behind it, and is others' (Paths::refused): the line about it, which comes once, again when it
// says something else, and once a minute at most. Pure; times are seconds.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace gorgone::proxy {

class ForeignClaims {
 public:
  /// Whether it is time to look at what the node says.
  bool is_due(const std::string& node, std::int64_t now);
  /// `claims` are targets and who leads there.
  std::optional<std::string> line(const std::string& node, const std::map<std::string, std::string>& claims);
  void forget(const std::string& node) { told_.erase(node); }

 private:
  struct Told {
    std::string claims;
    std::int64_t again = 0;  // may be looked at
  };
  std::map<std::string, Told> told_;
};

}  // namespace gorgone::proxy
