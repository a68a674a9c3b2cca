// How sessions end, with what is lost then, and how they outlive the broker.

#include <algorithm>
#include <ctime>
#include <set>
#include <utility>

#include "broker.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::int64_t longest_s = 366 * 86400;
constexpr std::size_t shown = 80;

std::int64_t wall_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

}  // namespace

// By the clock on the wall, for a time after a restart.
std::int64_t Broker::away_s(const Client& client) const {
  if (client.connection != 0) return 0;
  return std::max<std::int64_t>(1, wall_s() - std::chrono::duration_cast<std::chrono::seconds>(now_ - client.gone_at).count());
}

// Where there are too many, the session that can be spared most ends; where those of one identity are, one of these.
Result<void> Broker::make_room(const std::string& identity) {
  // Nobody has more than there are.
  const auto same = clients_.sessions() < of_identity_max(limits_) ? 0 : clients_.sessions_of(identity);
  const bool is_greedy = same >= of_identity_max(limits_);
  if (!is_greedy && clients_.sessions() < limits_.clients) return {};
  Client* longest = nullptr;
  for (const auto& client : clients_.all())
    if (client->has_session && client->connection == 0 && (!longest || client->gone_at < longest->gone_at) &&
        (!is_greedy || identity_of(client->peer.routing_id) == identity))
      longest = client.get();
  if (!longest && is_greedy)
    return Error{fmt::format("there are {} clients \"{}\" already (a quarter of clients_max)", same, printable(identity))};
  if (!longest) return Error{fmt::format("there are {} clients already (clients_max)", clients_.sessions())};
  std::uint64_t count = 0;
  if (Delivery::is_due(evictions_, now_, count))
    log_.warning(
        "there are {} sessions (clients_max), {} of \"{}\": that of \"{}\", away for {} s, makes room for a new one: since the last "
        "time={}",
        clients_.sessions(), same, printable(identity), printable(longest->peer.routing_id),
        std::chrono::duration_cast<std::chrono::seconds>(now_ - longest->gone_at).count(), count);
  ++counters_.expired;
  end_session(*longest, "it was away, and its place was needed");
  return {};
}

void Broker::end_session(Client& client, const std::string& why, Transport::Closing when) {
  const auto routing_id = client.peer.routing_id;
  const bool was_kept = client.has_session && client.peer.named_itself;
  const auto connection = client.connection;
  const bool is_cut = connection != 0 && when == Transport::Closing::at_once;
  const auto unsent = is_cut ? lost_of(client, parts_.outlet.untaken(connection)) : 0;
  while (!client.subscriptions.empty()) end_subscription(client, *client.subscriptions.back().topic, Leaving::gone);
  lost(client, client.parcels() + unsent, why);
  delivery_.release_publishers(client);
  deadlines_.remove(client);
  clients_.remove(client);
  if (connection != 0) {
    log_.debug("connection {} of \"{}\" is closed: {}", connection, printable(routing_id), why);
    parts_.outlet.close(connection, why, when);
  }
  if (was_kept) parts_.session_changed(routing_id);
}

// Those of queues are offered again.
std::size_t Broker::lost_of(const Client& client, const Transport::Waiting& left) {
  if (!client.backlog) return left.messages;
  const auto& unconfirmed = client.backlog->unconfirmed;
  const auto kept = std::count_if(unconfirmed.begin(), unconfirmed.end(), [&](const auto& sent) { return sent.first > left.sent; });
  return left.messages - std::min(left.messages, static_cast<std::size_t>(kept));
}

void Broker::lost(const Client& client, std::size_t messages, const std::string& why) {
  if (messages == 0) return;
  counters_.session_over += messages;
  std::uint64_t count = 0;
  if (Delivery::is_due(losses_, now_, count, messages))
    log_.warning("client \"{}\": {} messages that waited for it are lost, {}: lost for all clients since the last time={}",
                 printable(client.peer.routing_id), messages, why, count);
}

void Broker::stop(Time now) {
  now_ = now;
  is_stopped_ = true;
  alive_.reset();
  for (const auto& client : clients_.all()) {
    client->hold_until = {};
    delivery_.flush(*client, now);
  }
}

Broker::Lost Broker::lost_at_stop() const {
  Lost lost;
  const auto add = [&lost](std::size_t messages) {
    lost.messages += messages;
    lost.clients += messages > 0 ? 1 : 0;
  };
  auto left = left_at_stop_;
  for (const auto& client : clients_.all()) {
    auto messages = std::exchange(left[client->connection], 0);
    if (client->backlog)
      for (const auto* parcels : {&client->backlog->parcels, &client->backlog->unasked})
        for (const auto& parcel : *parcels) messages += parcel.kept ? 0 : 1;
    add(messages);
  }
  for (const auto& [connection, messages] : left) add(messages);
  return lost;
}

Result<void> Broker::restore(const std::string& routing_id, std::string_view record, Time now) {
  now_ = now;
  const auto read = read_session(record);
  if (!read) return read.error();
  if (clients_.sessions() >= limits_.clients) return Error{fmt::format("there are {} sessions already (clients_max)", limits_.clients)};
  auto grant = parts_.access.grant(read->key, routing_id);
  if (!grant) return grant.error();
  if (grant->awaits_certificate) return Error{"its certificate has ended"};
  // It is not given its time anew by each restart.
  const std::chrono::seconds away(read->away_s == 0 ? 0 : std::clamp<std::int64_t>(wall_s() - read->away_s, 0, longest_s));
  const milliseconds ttl(std::clamp<std::int64_t>(read->ttl_ms, 0, ttl_ms_max));
  if (away >= std::min(patience_with(ttl), limits_.idle)) return Error{fmt::format("it has been away for {} s", away.count())};
  std::set<std::string_view> topics;
  std::vector<std::string_view> forbidden;
  for (const auto name : read->topics) {
    if (grant->may_subscribe(name))
      topics.insert(name);
    else
      forbidden.push_back(name);
  }
  // Its connector would not know which of them it does not hear any more; where there is no session it connects, asks for them and is
  // answered.
  if (topics.size() > limits_.topics)
    return Error{fmt::format("it has {} topics, expected {} at most (topics_max)", topics.size(), limits_.topics)};
  Peer peer;
  peer.routing_id = routing_id;
  peer.key = read->key;
  auto& client = clients_.add(peer);
  clients_.begin_session(client);
  client.version = read->version;
  client.ttl = ttl;
  client.since = client.last_sent = now;
  client.last_heard = client.gone_at = now - away;
  client.is_kept_away = read->away_s != 0;
  restore_claim(client, read->claim);
  set_grant(client, std::move(*grant));
  for (const auto name : topics) add_subscription(client, name);
  schedule(client);
  if (forbidden.empty()) return {};
  counters_.not_allowed += forbidden.size();
  log_.notice("client \"{}\", who was here before, may not subscribe to {} of its {} topics any more, \"{}\" among them",
              printable(routing_id), forbidden.size(), read->topics.size(), printable(forbidden.front(), shown));
  parts_.session_changed(routing_id);
  return {};
}

std::optional<std::string> Broker::record_of(const std::string& routing_id) const {
  const auto* const client = clients_.session(routing_id);
  if (!client || !client->peer.named_itself) return {};
  SessionRecord record{client->peer.key, client->version, client->ttl.count(), away_s(*client), kept_claim(*client), {}};
  record.topics.reserve(client->subscriptions.size());
  for (const auto& subscription : client->subscriptions) record.topics.push_back(subscription.topic->name);
  return write_session(record);
}

}  // namespace gorgone::mcollective
