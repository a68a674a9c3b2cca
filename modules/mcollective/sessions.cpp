// Sessions as they outlive the broker.

#include <algorithm>

#include "broker.hpp"
#include "session_record.hpp"

namespace gorgone::mcollective {

Result<void> Broker::restore(const std::string& routing_id, std::string_view record, Time now) {
  now_ = now;
  const auto read = read_session(record);
  if (!read) return read.error();
  if (clients_.sessions() >= limits_.clients) return Error{fmt::format("there are {} sessions already (clients_max)", limits_.clients)};
  auto grant = parts_.access.grant(read->key, routing_id);
  if (!grant) return grant.error();
  if (grant->awaits_certificate) return Error{"its certificate has ended"};
  Peer peer;
  peer.routing_id = routing_id;
  peer.key = read->key;
  auto& client = clients_.add(peer);
  clients_.begin_session(client);
  client.version = read->version;
  client.ttl = milliseconds(std::min(read->ttl_ms, ttl_ms_max));
  client.since = client.last_heard = client.last_sent = now;
  set_grant(client, std::move(*grant));
  for (const auto topic : read->topics)
    if (client.subscriptions.size() < limits_.topics && client.grant.may_subscribe(topic)) add_subscription(client, topic);
  schedule(client);
  return {};
}

std::optional<std::string> Broker::record_of(const std::string& routing_id) const {
  const auto* const client = clients_.session(routing_id);
  if (!client || !client->peer.named_itself) return {};
  SessionRecord record{client->peer.key, client->version, client->ttl.count(), {}};
  record.topics.reserve(client->subscriptions.size());
  for (const auto& subscription : client->subscriptions) record.topics.push_back(subscription.topic->name);
  return write_session(record);
}

}  // namespace gorgone::mcollective
