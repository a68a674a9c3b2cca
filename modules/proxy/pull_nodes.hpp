#pragma once
// Nodes that dial us (type pull, docs/protocol.md): they register through their session with our listener, beside what a file says of
// them. Their sessions are kept in the journal, so that after a restart they are reached as soon as they have connected again.
// On the loop.

#include <gorgone/agent.hpp>

#include <map>
#include <set>
#include <string>

#include "node_table.hpp"
#include "pull_sessions.hpp"

namespace gorgone::proxy {

class PullNodes {
 public:
  PullNodes(Agent& agent, NodeTable& table) : agent_(agent), table_(table) {}

  /// Registers those that the journal knows; before anything else is registered.
  asio::awaitable<void> load();

  /// What a client of our listener registers: itself, where it is a node that dials us, and the nodes behind it.
  Result<void> register_by(const std::string& session, const json::value& data);
  /// A node that says good-bye stays known where a file knows it, and what waits for it waits on.
  Result<void> unregister_by(const std::string& session, const json::value& data);

  /// A file, or whoever else may say so, knows a node.
  void listed(const std::string& node) { by_themselves_.erase(node); }
  /// Adds to a registration the session through which the node speaks.
  void complete(NodeSpec& spec);
  void unregistered(const std::string& node);

 private:
  Result<void> register_itself(const std::string& session, const NodeSpec& claimed);
  void add(const std::string& node);
  void forget(const std::string& node);

  Agent& agent_;
  NodeTable& table_;
  PullSessions sessions_;
  std::map<std::string, std::string> connections_;  // of nodes of our own: as they count them
  std::set<std::string> by_themselves_;             // known by nothing but their own registration
};

}  // namespace gorgone::proxy
