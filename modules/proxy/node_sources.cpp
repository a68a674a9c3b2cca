#include "node_sources.hpp"

#include "registration.hpp"

namespace gorgone::proxy {
namespace {

void add_subnodes(const json::object& node, std::set<std::string>& ids) {
  const auto* subnodes = node.if_contains("nodes");
  if (!subnodes || !subnodes->is_array()) return;
  for (const auto& subnode : subnodes->get_array())
    if (const auto id = text_of(member(subnode, "id"))) ids.insert(*id);
}

// Of the node and of those behind it.
template <class F>
void each_uid(const json::object& node, const F& f) {
  const auto one = [&f](const json::object& named) {
    const auto id = text_of(named.if_contains("id")), uid = text_of(named.if_contains("uid"));
    if (id && uid && !uid->empty()) f(*uid, *id);
  };
  one(node);
  if (const auto* subnodes = node.if_contains("nodes"); subnodes && subnodes->is_array())
    for (const auto& subnode : subnodes->get_array())
      if (subnode.is_object()) one(subnode.get_object());
}

}  // namespace

NodeSources::Ids NodeSources::put(Source source, const json::array& nodes) {
  Ids touched;
  for (const auto& node : nodes)
    if (const auto id = text_of(member(node, "id"))) change(source, *id, &node.get_object(), touched);
  return touched;
}

NodeSources::Ids NodeSources::remove(Source source, const std::vector<std::string>& ids) {
  Ids touched;
  for (const auto& id : ids) change(source, id, nullptr, touched);
  return touched;
}

void NodeSources::change(Source source, const std::string& id, const json::object* node, Ids& touched) {
  auto& entries = of(source);
  const auto before = entries.find(id);
  if (before != entries.end()) {
    each_uid(before->second, [this](const std::string& uid, const std::string&) { ids_.erase(uid); });
    if (source == Source::file) add_subnodes(before->second, touched);
  }
  touched.insert(id);
  if (node) {
    entries.insert_or_assign(id, *node);
    if (source == Source::file) add_subnodes(*node, touched);
  } else {
    entries.erase(id);
  }
  for (const auto* all : {&file_, &database_})
    if (const auto known = all->find(id); known != all->end())
      each_uid(known->second, [this](const std::string& uid, const std::string& named) { ids_.emplace(uid, named); });
}

NodeSources::Ids NodeSources::ids() const {
  Ids all;
  for (const auto* entries : {&file_, &database_})
    for (const auto& [id, node] : *entries) all.insert(id);
  return all;
}

std::map<std::string, json::value> NodeSources::registered(const Ids& ids, bool database_decides) const {
  Ids behind;
  for (const auto& [id, node] : file_)
    if (is_prevailing(node)) add_subnodes(node, behind);
  std::map<std::string, json::value> found;
  for (const auto& id : ids) {
    const auto filed = file_.find(id), known = database_.find(id);
    const bool prevails = filed != file_.end() && is_prevailing(filed->second);
    if (!prevails && behind.contains(id)) continue;
    const bool file_counts = filed != file_.end() && (prevails || !database_decides);
    if (!file_counts && known == database_.end()) continue;
    auto merged = known == database_.end() ? json::object() : known->second;
    if (file_counts)
      for (const auto& item : filed->second) merged[item.key()] = item.value();
    found.emplace(id, json::value(std::move(merged)));
  }
  return found;
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

}  // namespace gorgone::proxy
