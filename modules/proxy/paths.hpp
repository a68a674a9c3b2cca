#pragma once
// Which node a message for a target goes to, without I/O: the node itself, else parents that announced it, static ones by rising
// pathscore, then those learned from PONG (as deployed proxies do). What is learned from a parent that may be anybody counts only where
// nobody else leads to the target, whether he is there or not.

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

  bool learn(const std::string& parent, const std::string& subnode) {
    return learned_[parent].try_emplace(subnode, ++learned_count_).second;
  }
  bool forget(const std::string& parent, const std::string& subnode) { return learned_[parent].erase(subnode) > 0; }

  /// Whether it is certain that a parent is the node it says it is (Link::is_bound); it is, until this says otherwise.
  bool set_bound(const std::string& parent, bool is_bound) {
    return is_bound ? unbound_.erase(parent) > 0 : unbound_.insert(parent).second;
  }
  /// What a parent that is not bound has told of and others have: target → the node that leads there, the target itself where it is
  /// registered. `id_of` knows the nodes' other names.
  std::map<std::string, std::string> refused(const std::string& parent, const std::function<std::string(const std::string&)>& id_of) const;

  /// Whether any target is behind it.
  bool is_parent(const std::string& node) const;

  struct Step {
    std::string node;    ///< to send to
    std::string target;  ///< as that node must see it: empty for itself
    bool is_configured;  ///< the target is registered or listed, not only learned
  };
  /// `is_alive` says which parents have answered lately; where none has, the first is taken.
  std::optional<Step> find(const std::string& target, const std::function<bool(const std::string&)>& is_alive) const;

 private:
  std::set<std::string> nodes_;
  std::map<std::string, std::map<std::string, std::int64_t>> static_;    // parent → subnode → score
  std::map<std::string, std::map<std::string, std::uint64_t>> learned_;  // parent → subnode → the order in which they were told
  std::uint64_t learned_count_ = 0;
  std::set<std::string> unbound_;
};

}  // namespace gorgone::proxy
