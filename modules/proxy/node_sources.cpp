#include "node_sources.hpp"

#include <set>

#include "registration.hpp"

namespace gorgone::proxy {
namespace {

void add_subnodes(const json::object& node, std::set<std::string>& ids) {
  const auto* subnodes = node.if_contains("nodes");
  if (!subnodes || !subnodes->is_array()) return;
  for (const auto& subnode : subnodes->get_array())
    if (const auto id = text_of(member(subnode, "id"))) ids.insert(*id);
}

}  // namespace

void NodeSources::put(Source source, const json::array& nodes) {
  auto& entries = source == Source::file ? file_ : database_;
  for (const auto& node : nodes)
    if (const auto id = text_of(member(node, "id"))) entries.insert_or_assign(*id, node.get_object());
  read_uids();
}

void NodeSources::remove(Source source, const std::vector<std::string>& ids) {
  auto& entries = source == Source::file ? file_ : database_;
  for (const auto& id : ids) entries.erase(id);
  read_uids();
}

std::map<std::string, json::value> NodeSources::registered(bool database_decides) const {
  std::set<std::string> behind;
  for (const auto& [id, node] : file_)
    if (is_prevailing(node)) add_subnodes(node, behind);
  std::map<std::string, json::value> all;
  for (const auto& [id, node] : database_)
    if (!behind.contains(id)) all.emplace(id, node);
  for (const auto& [id, node] : file_) {
    const bool prevails = is_prevailing(node);
    if (!prevails && (database_decides || behind.contains(id))) continue;
    const auto known = database_.find(id);
    auto merged = known == database_.end() ? json::object() : known->second;
    for (const auto& item : node) merged[item.key()] = item.value();
    all.insert_or_assign(id, json::value(std::move(merged)));
  }
  return all;
}

bool NodeSources::prevails(const std::string& id) const {
  std::set<std::string> behind;
  for (const auto& [other, node] : file_) {
    if (!is_prevailing(node)) continue;
    if (other == id) return true;
    add_subnodes(node, behind);
  }
  return behind.contains(id);
}

std::string NodeSources::id_of(const std::string& name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? name : found->second;
}

void NodeSources::read_uids() {
  ids_.clear();
  const auto add = [this](const json::value& node) {
    const auto id = text_of(member(node, "id")), uid = text_of(member(node, "uid"));
    if (id && uid && !uid->empty()) ids_.emplace(*uid, *id);
  };
  for (const auto* entries : {&file_, &database_})
    for (const auto& [id, node] : *entries) {
      add(node);
      if (const auto* subnodes = node.if_contains("nodes"); subnodes && subnodes->is_array())
        for (const auto& subnode : subnodes->get_array()) add(subnode);
    }
}

}  // namespace gorgone::proxy
