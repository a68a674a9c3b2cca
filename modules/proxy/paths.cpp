#include "paths.hpp"

#include <algorithm>
#include <utility>

namespace gorgone::proxy {

void Paths::remove_node(const std::string& id) {
  nodes_.erase(id);
  static_.erase(id);
  learned_.erase(id);
}

bool Paths::set_static(const std::string& parent, const std::map<std::string, std::int64_t>& subnodes) {
  return std::exchange(static_[parent], subnodes) != subnodes;
}

bool Paths::set_learned(const std::string& parent, std::set<std::string> subnodes) {
  auto& known = learned_[parent];
  if (known == subnodes) return false;
  known = std::move(subnodes);
  return true;
}

bool Paths::is_parent(const std::string& node) const {
  const auto listed = static_.find(node);
  if (listed != static_.end() && !listed->second.empty()) return true;
  const auto learned = learned_.find(node);
  return learned != learned_.end() && !learned->second.empty();
}

std::optional<Paths::Step> Paths::find(const std::string& target, const std::function<bool(const std::string&)>& is_alive) const {
  if (nodes_.contains(target)) return Step{target, {}};
  std::vector<std::pair<std::int64_t, std::string>> scored;
  for (const auto& [parent, subnodes] : static_)
    if (const auto found = subnodes.find(target); found != subnodes.end()) scored.emplace_back(found->second, parent);
  std::sort(scored.begin(), scored.end());
  std::vector<std::string> parents;
  for (auto& [score, parent] : scored) parents.push_back(std::move(parent));
  for (const auto& [parent, subnodes] : learned_)
    if (subnodes.contains(target) && std::find(parents.begin(), parents.end(), parent) == parents.end()) parents.push_back(parent);
  if (parents.empty()) return {};
  const auto alive = std::find_if(parents.begin(), parents.end(), is_alive);
  return Step{alive == parents.end() ? parents.front() : *alive, target};
}

}  // namespace gorgone::proxy
