#include "core/net/outflow.hpp"

#include <algorithm>

namespace gorgone::net {

bool Outflow::is_answered_over(const std::string& client, int connection) const {
  const auto found = clients_.find(client);
  return found != clients_.end() && found->second.connection == connection;
}

void Outflow::heard(const std::string& client, int connection) {
  const auto found = clients_.find(client);
  if (found != clients_.end()) {
    if (found->second.connection == connection) return;
    forget(found);
  }
  ended(connection);
  clients_.insert_or_assign(client, Client{connection, taken_(connection).value_or(0)});
  names_.emplace(connection, client);
}

void Outflow::ended(int connection) {
  const auto found = names_.find(connection);
  if (found != names_.end()) forget(clients_.find(found->second));
}

void Outflow::forget(std::unordered_map<std::string, Client>::iterator client) {
  const auto name = client->first;
  names_.erase(client->second.connection);
  clients_.erase(client);
  lost_(name);
}

bool Outflow::has_room(const std::string& client, std::uint64_t bytes_max) {
  const auto found = clients_.find(client);
  if (found == clients_.end() || found->second.waiting <= bytes_max) return true;
  auto& [connection, begun, given, waiting] = found->second;
  const auto taken = taken_(connection);
  if (!taken) return true;
  // The library writes a little of its own between our frames.
  begun = std::max(begun, *taken > given ? *taken - given : 0);
  waiting = given - std::min(given, *taken - std::min(*taken, begun));
  return waiting <= bytes_max;
}

std::optional<Outflow::Place> Outflow::place_of(const std::string& client) const {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return {};
  return Place{found->second.connection, found->second.begun, found->second.given};
}

std::uint64_t Outflow::left_for(const std::string& client) const {
  const auto found = clients_.find(client);
  return found == clients_.end() ? 0 : found->second.given - found->second.waiting;
}

void Outflow::sent(const std::string& client, std::uint64_t wire_bytes) {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return;
  found->second.given += wire_bytes;
  found->second.waiting += wire_bytes;
}

}  // namespace gorgone::net
