#include "broker.hpp"

#include <algorithm>
#include <ctime>

namespace gorgone::mcollective {

using namespace std::chrono_literals;

Broker::Broker(Parts parts, const BrokerLimits& limits, const Log& log)
    : parts_(std::move(parts)), limits_(limits), log_(log), delivery_(parts_.outlet, limits_, clients_, counters_, log_) {}

Broker::~Broker() = default;

Result<void> Broker::admit(const Peer& peer) const {
  const auto grant = parts_.access.grant(peer.key, peer.routing_id);
  if (!grant) return grant.error();
  const auto* const session = clients_.session(peer.routing_id);
  if (session && session->peer.key != peer.key)
    return Error{"the routing id belongs to a session under another key, which is kept until it has been silent for its TTL", "later"};
  return {};
}

void Broker::opened(ConnectionId connection, const Peer& peer, Time now) {
  now_ = now;
  auto grant = parts_.access.grant(peer.key, peer.routing_id);
  auto* session = clients_.session(peer.routing_id);
  if (!grant || (session && session->peer.key != peer.key)) {
    parts_.outlet.close(connection, grant ? "its session is under another key" : grant.error().message, Transport::Closing::at_once);
    return;
  }
  if (session && grant->awaits_certificate) {
    end_session(*session, "its certificate has ended");
    session = nullptr;
  }
  if (session) return take_over(*session, connection, peer, std::move(*grant));
  auto& client = clients_.add(peer);
  clients_.connect(client, connection);
  client.since = client.last_heard = client.last_sent = now;
  set_grant(client, std::move(*grant));
  schedule(client);
  if (!client.grant.awaits_certificate) return;
  awaiting_.push_back(connection);
  bound_strangers();
}

// Whoever has a key of his own making must not take the places of those who are let in.
void Broker::bound_strangers() {
  const auto most = strangers_max(limits_);
  if (awaiting_.size() <= most) return;
  std::erase_if(awaiting_, [this](ConnectionId connection) {
    const auto* const client = clients_.at(connection);
    return !client || client->has_session;
  });
  if (awaiting_.size() <= most) return;
  // Some at once, so that not each of many goes through all of them.
  for (const auto left = most - most / 8; awaiting_.size() > left; awaiting_.pop_front()) {
    auto& oldest = *clients_.at(awaiting_.front());
    note_refusal(oldest, "others that await a certificate need its place");
    end_session(oldest, "it had no certificate yet, and its place was needed");
  }
}

void Broker::take_over(Client& session, ConnectionId connection, const Peer& peer, Grant grant) {
  if (const auto old = session.connection; old != 0) {
    lost(session, lost_of(session, parts_.outlet.untaken(old)), "they were still in its old connection");
    session.is_halted = false;  // nothing more goes over the old one
    leave_connection(session);
    ++counters_.handovers;
    std::uint64_t count = 0;
    if (Delivery::is_due(session.complained().handovers, now_, count))
      log_.info("client \"{}\" has a new connection from {}, the one from {} is closed: handovers={}", printable(peer.routing_id),
                peer.address, session.peer.address, count);
    parts_.outlet.close(old, "the client has a new connection", Transport::Closing::at_once);
  }
  clients_.connect(session, connection);
  if (std::exchange(session.is_kept_away, false)) parts_.session_changed(session.peer.routing_id);
  session.peer.address = peer.address;
  session.last_heard = now_;
  session.doubted_until = {};
  // It may have heard nothing for long: it is spoken to as soon as it may be.
  session.last_sent = now_ - session.ttl;
  set_grant(session, std::move(grant));
  end_forbidden(session);
  if (session.is_renewing) renew(session);
  came(session);
  // A new socket under the old name begins with CONNECT, an old one that found us again with nothing.
  hold(session);
  delivery_.flush(session, now_);
  for (std::size_t i = 0; i < session.subscriptions.size(); ++i) own(session, *session.subscriptions[i].topic);
  schedule(session);
}

void Broker::leave_connection(Client& client) {
  const auto identity = identity_of(client.peer.routing_id);
  delivery_.forget_connection(client);
  clients_.disconnect(client);
  client.hold_until = {};
  client.gone_at = now_;
  for (const auto& subscription : client.subscriptions) {
    if (subscription.topic->owner != &client) continue;
    subscription.topic->owner = nullptr;
    parts_.kept.detach(std::string(subscription.topic->name), identity);
    pass_on(*subscription.topic, identity);
  }
}

void Broker::message(ConnectionId from, Frames frames, Time now) {
  now_ = now;
  auto* const client = clients_.at(from);
  if (!client) return;
  client->last_heard = now;
  client->doubted_until = {};
  auto parsed = parse_command(std::move(frames));
  if (parsed.fault) {
    ++counters_.malformed;
    return refuse(*client, *parsed.fault, parsed.command.header("ID"));
  }
  handle(*client, std::move(parsed.command));
}

void Broker::closed(ConnectionId connection, const Error& why, Transport::Waiting left, Time now) {
  now_ = now;
  auto* const client = clients_.at(connection);
  if (is_stopped_) {
    left_at_stop_[connection] = client ? lost_of(*client, left) : left.messages;
    return;
  }
  if (!client) {
    // Its session was ended while what it had was still being sent.
    counters_.session_over += left.messages;
    return;
  }
  log_.debug("connection of \"{}\" from {} closed: {}", printable(client->peer.routing_id), client->peer.address, why.message);
  lost(*client, lost_of(*client, left), "they were still in its connection when that ended");
  leave_connection(*client);
  // Nobody can come back under a name that we gave.
  if (!client->has_session || !client->peer.named_itself) return end_session(*client, why.message);
  client->is_kept_away = true;
  parts_.session_changed(client->peer.routing_id);
  schedule(*client);
}

void Broker::taken(ConnectionId by, std::uint64_t number, Time now) {
  now_ = now;
  auto* const client = clients_.at(by);
  if (!client) return;
  delivery_.confirmed(*client, number, [this](const KeptPlace& place) {
    ++counters_.kept_taken;
    parts_.kept.taken(place.topic, place.number);
  });
}

void Broker::room(ConnectionId of, Time now) {
  now_ = now;
  if (auto* const client = clients_.at(of)) delivery_.look_at_queue(*client, now);
}

void Broker::offered(const std::string& topic, const KeptMessage& message, Time now) {
  now_ = now;
  auto* const known = topics_.find(topic);
  if (!known || !known->owner) return;
  auto& owner = *known->owner;
  const auto* const subscription = owner.is_renewing ? Topics::find(owner, *known) : nullptr;
  delivery_.offer(owner, Parcel{message.frames, size_of(*message.frames), std::make_shared<KeptPlace>(KeptPlace{topic, message.number})},
                  !subscription || !subscription->is_stale, now);
}

void Broker::not_owner(const std::string& topic, const std::string& identity, const std::string& owner, Time now) {
  now_ = now;
  auto* const known = topics_.find(topic);
  if (!known || !known->owner || identity_of(known->owner->peer.routing_id) != identity) return;
  auto& client = *known->owner;
  Delivery::forget_queue(client, topic);
  known->owner = nullptr;
  std::uint64_t count = 0;
  if (owner.empty()) {
    if (Delivery::is_due(other_keys_, now, count))
      log_.warning(
          "the queue of topic \"{}\", to which client \"{}\" from {} subscribes with key {:.8}…, belongs to its identity under "
          "another key, which came first at another broker; `gorgonectl mcollective trust {}` decides for the next one: "
          "refused={}",
          printable(topic), printable(client.peer.routing_id), client.peer.address, client.peer.key, printable(identity), count);
    return;
  }
  if (Delivery::is_due(strangers_, now, count))
    log_.info("the queue of topic \"{}\", to which client \"{}\" subscribes, {}: told of {} since the last time", printable(topic),
              printable(client.peer.routing_id),
              owner == identity ? "is taken at another broker now, by the same identity"
                                : "belongs to another identity, \"" + printable(owner) + "\"",
              count);
  // It may have been kept from whom it belongs to for as long as nobody knew.
  if (owner != identity) pass_on(*known, owner);
}

void Broker::queue_is_free(const std::string& topic, Time now) {
  now_ = now;
  if (auto* const known = topics_.find(topic)) pass_on(*known);
}

void Broker::from_backbone(const std::string& topic, const SharedFrames& message, Time now) {
  now_ = now;
  ++counters_.from_backbone;
  if (auto* const known = topics_.find(topic)) fan_out(*known, message, size_of(*message), 0, !known->is_persistent || known->is_unkept);
}

void Broker::grants_changed(Time now) {
  now_ = now;
  std::vector<Client*> all;
  all.reserve(clients_.all().size());
  for (const auto& client : clients_.all()) all.push_back(client.get());
  for (auto* const client : all) {
    auto grant = parts_.access.grant(client->peer.key, client->peer.routing_id);
    if (!grant || (grant->awaits_certificate && client->has_session)) {
      const auto why = grant ? std::string("its certificate has ended") : grant.error().message;
      log_.notice("client \"{}\" from {} may not be connected any more: {}", printable(client->peer.routing_id), client->peer.address, why);
      end_session(*client, why);
      continue;
    }
    set_grant(*client, std::move(*grant));
    end_forbidden(*client);
    schedule(*client);
  }
}

Broker::FanOut Broker::fan_out(Topic& topic, const SharedFrames& message, std::size_t bytes, ConnectionId publisher, bool to_owner) {
  FanOut result;
  for (const auto& subscriber : topic.subscribers) {
    // Who is away may be the owner, and others get of a queue what comes while they are here.
    if (!to_owner && (subscriber.client == topic.owner || subscriber.client->connection == 0)) continue;
    auto& client = *subscriber.client;
    const bool is_asked = !client.is_renewing || !client.subscriptions[subscriber.place].is_stale;
    const bool is_taken = delivery_.deliver(client, message, bytes, publisher, is_asked, now_);
    ++(is_taken ? result.reached : result.refused);
    if (client.patient_until != Time{}) schedule(client);
  }
  return result;
}

void Broker::set_grant(Client& client, Grant grant) {
  client.grant = std::move(grant);
  client.grant_ends = {};
  if (client.grant.until_s == 0) return;
  const auto left = std::max<std::int64_t>(1, client.grant.until_s - static_cast<std::int64_t>(std::time(nullptr)));
  client.grant_ends = now_ + std::chrono::seconds(std::min<std::int64_t>(left, 86400));
}

// Without a pause nothing goes either until the command is answered: whoever calls this flushes behind the answer.
void Broker::hold(Client& client) {
  if (limits_.grace == 0ms) return;
  client.hold_until = now_ + limits_.grace;
  delivery_.halt(client);
  schedule(client);
}

void Broker::release(Client& client) {
  client.hold_until = {};
  delivery_.flush(client, now_);
}

}  // namespace gorgone::mcollective
