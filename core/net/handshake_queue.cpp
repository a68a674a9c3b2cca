#include "core/net/handshake_queue.hpp"

#include <iterator>

namespace gorgone::net {

void HandshakeQueue::push(int connection, std::string routing_id, wire::HeloText helo) {
  auto entry = std::make_shared<Handshake>(Handshake{connection, std::move(routing_id), std::move(helo)});
  waiting_.emplace(++last_number_, entry);
  of_.insert_or_assign(connection, Place{last_number_, std::move(entry)});
}

HandshakeQueue::Entry HandshakeQueue::begin_next() {
  if (waiting_.empty() || at_work_ >= at_once) return {};
  ++at_work_;
  const auto last = std::prev(waiting_.end());
  auto entry = std::move(last->second);
  waiting_.erase(last);
  return entry;
}

bool HandshakeQueue::end(const Entry& entry) {
  --at_work_;
  if (entry->has_left) return false;
  of_.erase(entry->connection);
  return true;
}

std::optional<std::string> HandshakeQueue::left(int connection) {
  const auto found = of_.find(connection);
  if (found == of_.end()) return {};
  const auto place = std::move(found->second);
  of_.erase(found);
  waiting_.erase(place.number);
  place.entry->has_left = true;
  return place.entry->routing_id;
}

}  // namespace gorgone::net
