#include "paths.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace gorgone::proxy {

void Paths::remove_node(const std::string& id) {
  nodes_.erase(id);
  static_.erase(id);
  learned_.erase(id);
  unbound_.erase(id);
}

bool Paths::set_static(const std::string& parent, const std::map<std::string, std::int64_t>& subnodes) {
  return std::exchange(static_[parent], subnodes) != subnodes;
}

bool Paths::set_learned(const std::string& parent, std::set<std::string> subnodes) {
  auto& known = learned_[parent];
  bool is_changed = std::erase_if(known, [&subnodes](const auto& subnode) { return !subnodes.contains(subnode.first); }) > 0;
  for (const auto& subnode : subnodes) is_changed |= learn(parent, subnode);
  return is_changed;
}

bool Paths::is_parent(const std::string& node) const {
  const auto listed = static_.find(node);
  if (listed != static_.end() && !listed->second.empty()) return true;
  const auto learned = learned_.find(node);
  return learned != learned_.end() && !learned->second.empty();
}

std::optional<Paths::Step> Paths::find(const std::string& target, const std::function<bool(const std::string&)>& is_alive) const {
  if (nodes_.contains(target)) return Step{target, {}, true};
  std::vector<std::pair<std::int64_t, std::string>> scored;
  for (const auto& [parent, subnodes] : static_)
    if (const auto found = subnodes.find(target); found != subnodes.end()) scored.emplace_back(found->second, parent);
  std::sort(scored.begin(), scored.end());
  std::vector<std::string> parents;
  for (auto& [score, parent] : scored) parents.push_back(std::move(parent));
  const bool is_configured = !parents.empty();
  std::vector<std::pair<std::uint64_t, std::string>> unbound;
  for (const auto& [parent, subnodes] : learned_) {
    const auto found = subnodes.find(target);
    if (found == subnodes.end() || std::find(parents.begin(), parents.end(), parent) != parents.end()) continue;
    if (unbound_.contains(parent))
      unbound.emplace_back(found->second, parent);
    else
      parents.push_back(parent);
  }
  // Who told of it first stays before those who may be anybody as well.
  std::sort(unbound.begin(), unbound.end());
  if (parents.empty())
    for (auto& [order, parent] : unbound) parents.push_back(std::move(parent));
  if (parents.empty()) return {};
  const auto alive = std::find_if(parents.begin(), parents.end(), is_alive);
  return Step{alive == parents.end() ? parents.front() : *alive, target, is_configured};
}

std::map<std::string, std::string> Paths::refused(const std::string& parent,
                                                  const std::function<std::string(const std::string&)>& id_of) const {
  std::map<std::string, std::string> refused;
  const auto told = learned_.find(parent);
  if (told == learned_.end() || !unbound_.contains(parent)) return refused;
  // All of them once: a parent may tell of very many.
  std::map<std::string_view, std::string_view> others;
  const auto own = static_.find(parent);
  const auto is_own = [&](const std::string& id) { return own != static_.end() && own->second.contains(id); };
  for (const auto& [other, subnodes] : static_)
    if (other != parent)
      for (const auto& [id, score] : subnodes) others.emplace(id, other);
  for (const auto& [other, subnodes] : learned_)
    if (other != parent && !unbound_.contains(other))
      for (const auto& [id, order] : subnodes) others.emplace(id, other);
  for (const auto& [name, order] : told->second)
    for (const auto& id : {name, id_of(name)}) {
      if (id == parent) continue;
      if (nodes_.contains(id))
        refused.emplace(name, id);
      else if (const auto found = others.find(id); found != others.end() && !is_own(id))
        refused.emplace(name, found->second);
    }
  return refused;
}

}  // namespace gorgone::proxy
