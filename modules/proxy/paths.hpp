#pragma once
// Which node a message for a target goes to, without I/O: the node itself, else parents that announced it, static ones by rising
// pathscore, then those learned from PONG (as deployed proxies do).

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace gorgone::proxy {

class Paths {
 public:
  // What follows is true where a target may lead elsewhere now.
  bool add_node(const std::string& id) { return nodes_.insert(id).second; }
  void remove_node(const std::string& id);
  /// The subnodes of a parent as the configuration lists them, with their scores; replaces those it had.
  bool set_static(const std::string& parent, const std::map<std::string, std::int64_t>& subnodes);
  /// The subnodes that a parent told of in its last PONG.
  bool set_learned(const std::string& parent, std::set<std::string> subnodes);

  bool learn(const std::string& parent, const std::string& subnode) { return learned_[parent].insert(subnode).second; }
  bool forget(const std::string& parent, const std::string& subnode) { return learned_[parent].erase(subnode) > 0; }

  /// Whether any target is behind it.
  bool is_parent(const std::string& node) const;

  struct Step {
    std::string node;    ///< to send to
    std::string target;  ///< as that node must see it: empty for itself
  };
  /// `is_alive` says which parents have answered lately; where none has, the first is taken.
  std::optional<Step> find(const std::string& target, const std::function<bool(const std::string&)>& is_alive) const;

 private:
  std::set<std::string> nodes_;
  std::map<std::string, std::map<std::string, std::int64_t>> static_;  // parent → subnode → score
  std::map<std::string, std::set<std::string>> learned_;               // parent → subnodes
};

}  // namespace gorgone::proxy
