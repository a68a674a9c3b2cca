#include "pull_nodes.hpp"

#include <gorgone/await_callback.hpp>

namespace gorgone::proxy {

asio::awaitable<void> PullNodes::load() {
  using Identities = Result<std::map<std::string, std::string>>;
  auto start = [this](auto done) { agent_.journal().pull_identities(std::move(done)); };
  const auto kept = co_await await_callback<Identities>(std::move(start));
  if (!kept) {
    agent_.log().error("the sessions of nodes that dial this daemon cannot be read: {}", kept.error().message);
    co_return;
  }
  sessions_.restore(*kept);
  for (const auto& [node, session] : *kept) add(node);
}

// Of what a node says of itself its id alone counts.
void PullNodes::add(const std::string& node) {
  by_themselves_.insert(node);
  Registration entry;
  entry.spec.id = node;
  entry.spec.type = "pull";
  entry.spec.identity = sessions_.of(node);
  std::vector<Registration> one;
  one.push_back(std::move(entry));
  table_.register_all(std::move(one));
}

Result<void> PullNodes::register_by(const std::string& session, const json::value& data) {
  auto list = read_registration(data);
  if (!list) return list.error();
  Result<void> outcome;
  std::vector<Registration> others;
  for (auto& entry : *list) {
    entry.spec.id = table_.id_of(entry.spec.id);
    const auto speaks_for = sessions_.node_of(session);
    const bool is_itself = speaks_for.empty() || speaks_for == entry.spec.id || entry.spec.identity == session;
    if (entry.spec.type != "pull" || !is_itself) {
      others.push_back(std::move(entry));
      continue;
    }
    auto registered = register_itself(session, entry.spec);
    if (!registered) outcome = std::move(registered);
  }
  if (const auto speaks_for = sessions_.node_of(session); !speaks_for.empty())
    for (const auto& entry : others) table_.learn(speaks_for, entry.spec.id);
  else if (!others.empty())
    table_.register_all(std::move(others));
  return outcome;
}

Result<void> PullNodes::register_itself(const std::string& session, const NodeSpec& claimed) {
  auto known = table_.spec_of(claimed.id);
  const auto claim = sessions_.claim(claimed, session, known ? known->type : std::string(), agent_.node_id());
  if (!claim) return claim.error();
  // ZeroMQ says nothing of a connection that was made anew in the same session, and loses what was under way in the old one.
  const auto connection = text_of(claimed.extra.if_contains("connection")).value_or("");
  const auto before = std::exchange(connections_[claimed.id], connection);
  if (!claim->is_new && known) {  // repeated to keep it alive
    if (!before.empty() && before != connection) table_.change(std::move(*known));
    return {};
  }
  agent_.journal().keep_pull_identity(claimed.id, session);
  if (!known) {
    add(claimed.id);
    return {};
  }
  if (claim->before.empty())
    agent_.log().info("node '{}' speaks through session {}", claimed.id, printable(session));
  else
    agent_.log().notice("node '{}' speaks through session {} from now on, until now it was {}", claimed.id, printable(session),
                        printable(claim->before));
  known->identity = session;
  table_.change(std::move(*known));
  return {};
}

Result<void> PullNodes::unregister_by(const std::string& session, const json::value& data) {
  const auto ids = read_ids(data);
  if (!ids) return ids.error();
  const auto speaks_for = sessions_.node_of(session);
  Result<void> outcome;
  for (const auto& name : *ids) {
    const auto id = table_.id_of(name);
    auto known = table_.spec_of(id);
    if (!speaks_for.empty() && speaks_for != id) {
      table_.unlearn(speaks_for, id);
    } else if (known && known->type == "pull" && speaks_for.empty() && sessions_.of(id).empty()) {
      // A node that dialled another daemon in our place, and has not said yet who it is.
      agent_.log().info("node '{}' says good-bye through session {} and had not registered: it stays as it is", printable(id),
                        printable(session));
    } else if (known && known->type == "pull" && speaks_for.empty()) {
      outcome = Error{fmt::format("session {} may not unregister node '{}', which speaks through another one", printable(session), id),
                      "refused"};
    } else if (speaks_for.empty() || by_themselves_.contains(id)) {
      table_.unregister(id);
    } else if (known) {
      forget(id);
      agent_.log().info("node '{}' has said good-bye", id);
      known->identity.clear();
      table_.change(std::move(*known));
    }
  }
  return outcome;
}

void PullNodes::complete(NodeSpec& spec) {
  if (spec.type == "pull")
    spec.identity = sessions_.of(spec.id);
  else if (!sessions_.of(spec.id).empty())
    forget(spec.id);
}

void PullNodes::unregistered(const std::string& node) {
  by_themselves_.erase(node);
  if (!sessions_.of(node).empty()) forget(node);
}

void PullNodes::forget(const std::string& node) {
  sessions_.forget(node);
  connections_.erase(node);
  agent_.journal().keep_pull_identity(node, {});
}

}  // namespace gorgone::proxy
