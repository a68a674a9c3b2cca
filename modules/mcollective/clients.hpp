#pragma once
// The table of all clients: those with a session by their routing id, those with a connection by its number. On the loop.

#include <algorithm>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "client.hpp"

namespace gorgone::mcollective {

class Clients {
 public:
  Client& add(const Peer& peer) {
    auto& client = *all_.emplace_back(std::make_unique<Client>());
    client.peer = peer;
    client.index = all_.size() - 1;
    return client;
  }
  /// Its subscriptions are ended already.
  void remove(Client& client) {
    disconnect(client);
    if (client.has_session) sessions_.erase(client.peer.routing_id);
    const auto index = client.index;
    std::swap(all_[index], all_.back());
    all_[index]->index = index;
    all_.pop_back();
  }

  Client* at(ConnectionId connection) const {
    const auto known = connections_.find(connection);
    return known == connections_.end() ? nullptr : known->second;
  }
  Client* session(std::string_view routing_id) const {
    const auto known = sessions_.find(routing_id);
    return known == sessions_.end() ? nullptr : known->second;
  }

  void connect(Client& client, ConnectionId connection) {
    client.connection = connection;
    connections_[connection] = &client;
  }
  void disconnect(Client& client) {
    connections_.erase(client.connection);
    client.connection = 0;
  }
  void begin_session(Client& client) {
    client.has_session = true;
    sessions_.emplace(client.peer.routing_id, &client);
  }

  std::size_t sessions() const { return sessions_.size(); }
  /// Looks at all of them.
  std::size_t sessions_of(std::string_view identity) const {
    auto is_its_own = [identity](const auto& session) {
      const auto name = session.first;
      return name.starts_with(identity) && (name.size() == identity.size() || name[identity.size()] == ' ');
    };
    return static_cast<std::size_t>(std::count_if(sessions_.begin(), sessions_.end(), is_its_own));
  }
  std::size_t connections() const { return connections_.size(); }
  const std::vector<std::unique_ptr<Client>>& all() const { return all_; }

 private:
  std::vector<std::unique_ptr<Client>> all_;
  std::unordered_map<ConnectionId, Client*> connections_;
  std::unordered_map<std::string_view, Client*> sessions_;  // the names lie in the clients
};

}  // namespace gorgone::mcollective
