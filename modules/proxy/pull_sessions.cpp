#include "pull_sessions.hpp"

#include <gorgone/log.hpp>

namespace gorgone::proxy {

std::string PullSessions::of(const std::string& node) const {
  const auto found = sessions_.find(node);
  return found == sessions_.end() ? std::string() : found->second;
}

std::string PullSessions::node_of(const std::string& session) const {
  const auto found = nodes_.find(session);
  return found == nodes_.end() ? std::string() : found->second;
}

void PullSessions::restore(std::map<std::string, std::string> sessions) {
  sessions_ = std::move(sessions);
  nodes_.clear();
  for (const auto& [node, session] : sessions_) nodes_[session] = node;
}

void PullSessions::forget(const std::string& node) {
  nodes_.erase(of(node));
  sessions_.erase(node);
}

Result<PullSessions::Claim> PullSessions::claim(const NodeSpec& node, const std::string& session, const std::string& known_type,
                                                const std::string& own_id) {
  const auto refused = [&](const std::string& why) {
    return Error{fmt::format("session {} may not register as node '{}': {}", printable(session), node.id, why), "refused"};
  };
  if (node.identity != session)
    return refused(fmt::format("the identity it gives is \"{}\", expected its own routing id", printable(node.identity)));
  if (node.id == own_id) return refused("that is this daemon's own id; is gorgonecore.id right on the node?");
  if (!known_type.empty() && known_type != "pull")
    return refused(fmt::format("the node is registered here with type {}, expected pull", known_type));
  if (const auto speaks_for = node_of(session); !speaks_for.empty() && speaks_for != node.id)
    return refused(fmt::format("it speaks for node '{}' already", speaks_for));
  Claim claim{of(node.id), false};
  claim.is_new = claim.before != session;
  forget(node.id);
  sessions_[node.id] = session;
  nodes_[session] = node.id;
  return claim;
}

}  // namespace gorgone::proxy
