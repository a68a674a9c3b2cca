#pragma once
// Which node speaks through which session of our listener: nodes of type pull dial us and say who they are (docs/protocol.md).
// Pure; the proxy keeps it in the journal as well, so that such a node can be reached as soon as it has connected again after a restart.

#include <gorgone/link.hpp>

#include <map>
#include <string>

namespace gorgone::proxy {

class PullSessions {
 public:
  void restore(std::map<std::string, std::string> sessions);
  /// The routing id of the node's session, empty where it has none.
  std::string of(const std::string& node) const;
  /// The node that speaks through a session, empty where none does.
  std::string node_of(const std::string& session) const;

  struct Claim {
    std::string before;  ///< the session through which the node spoke until now
    bool is_new = false;
  };
  /// A session says that it is `node`. An Error where it may not: a session speaks for itself only, and for one node. `known_type` is the
  /// type under which the node is registered, empty where it is not.
  Result<Claim> claim(const NodeSpec& node, const std::string& session, const std::string& known_type, const std::string& own_id);
  void forget(const std::string& node);

 private:
  std::map<std::string, std::string> sessions_;  // node → routing id
  std::map<std::string, std::string> nodes_;     // routing id → node
};

}  // namespace gorgone::proxy
