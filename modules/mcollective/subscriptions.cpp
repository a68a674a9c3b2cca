// Subscriptions of the broker's clients, and who of them is offered the queue of a persistent topic.

#include <algorithm>

#include "broker.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds renewing_max = 60s;

}  // namespace

void Broker::add_subscription(Client& client, std::string_view name) {
  auto& topic = topics_.add(client, name);
  if (topic.subscribers.size() == 1) {
    topic.is_persistent = parts_.kept.is_persistent(name);
    if (parts_.backbone) parts_.backbone->want(std::string(name));
  }
}

void Broker::end_subscription(Client& client, Topic& topic, Leaving how) {
  const std::string name(topic.name);
  const auto identity = identity_of(client.peer.routing_id);
  const bool was_owner = topic.owner == &client;
  if (was_owner) {
    topic.owner = nullptr;
    Delivery::forget_queue(client, name);
    if (how == Leaving::unsubscribed)
      parts_.kept.disown(name, identity);
    else
      parts_.kept.detach(name, identity);
  }
  const bool is_persistent = topic.is_persistent;
  if (topics_.remove(client, topic)) {
    if (is_persistent) parts_.kept.nobody_here(name);
    if (parts_.backbone) parts_.backbone->unwant(name);
  } else if (was_owner) {
    if (how == Leaving::unsubscribed)
      pass_on(topic);
    else
      pass_on(topic, identity);
  }
}

void Broker::own(Client& client, Topic& topic) {
  // A name that we gave may be another client's after a restart.
  if (!topic.is_persistent || client.connection == 0 || !client.peer.named_itself) return;
  const auto identity = identity_of(client.peer.routing_id);
  const std::string name(topic.name);
  if (auto* const former = topic.owner; former == &client) {
    return;
  } else if (former) {
    // The newest of one identity has it, for an older one is likely to be dead.
    if (identity_of(former->peer.routing_id) != identity) return;
    Delivery::forget_queue(*former, name);
    parts_.kept.detach(name, identity);
  }
  topic.owner = &client;
  if (parts_.kept.attach(name, identity, client.grant.identity_key(client.peer.key))) {
    topic.is_unkept = false;
    return;
  }
  topic.owner = nullptr;
  topic.is_unkept = !parts_.kept.has_room(name, identity);
}

// In a restart of ours all clients subscribe again at the same time, so each has longer than it would need.
void Broker::renew(Client& client) {
  const auto time = client.ttl > 0ms ? std::min<milliseconds>(client.ttl / 2, renewing_max) : renewing_max;
  client.renewed_until = now_ + std::max(time, limits_.grace);
}

void Broker::end_stale(Client& client) {
  client.is_renewing = false;
  std::vector<Topic*> stale;
  for (const auto& subscription : client.subscriptions)
    if (subscription.is_stale) stale.push_back(subscription.topic);
  // It may only have been slow, so it keeps what it owns.
  for (auto* const topic : stale) end_subscription(client, *topic, Leaving::gone);
  lost(client, Delivery::drop_unasked(client), "it did not subscribe again");
  if (!stale.empty()) parts_.session_changed(client.peer.routing_id);
}

void Broker::end_forbidden(Client& client) {
  std::vector<Topic*> forbidden;
  for (const auto& subscription : client.subscriptions)
    if (!client.grant.may_subscribe(subscription.topic->name)) forbidden.push_back(subscription.topic);
  for (auto* const topic : forbidden) {
    log_.notice("client \"{}\" may not subscribe to \"{}\" any more", printable(client.peer.routing_id), printable(topic->name));
    end_subscription(client, *topic, Leaving::unsubscribed);
  }
  if (!forbidden.empty()) parts_.session_changed(client.peer.routing_id);
}

// To the next of those who are here: nobody owns it.
void Broker::pass_on(Topic& topic) {
  for (std::size_t i = 0; i < topic.subscribers.size() && !topic.owner; ++i) own(*topic.subscribers[i].client, topic);
}

// To another client of the identity that owns it.
void Broker::pass_on(Topic& topic, std::string_view identity) {
  for (std::size_t i = 0; i < topic.subscribers.size() && !topic.owner; ++i) {
    auto& client = *topic.subscribers[i].client;
    if (identity_of(client.peer.routing_id) == identity) own(client, topic);
  }
}

}  // namespace gorgone::mcollective
