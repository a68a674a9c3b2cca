// The verbs of mc0, as the broker takes them (docs/protocol.md).

#include <charconv>
#include <utility>

#include "broker.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::size_t shown = 80;

/// 0 where there is none.
Result<milliseconds> ttl_of(const Command& command) {
  const auto* const text = command.header("TTL");
  if (!text || text->empty()) return milliseconds(0);
  std::int64_t ttl = 0;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), ttl);
  if (failure != std::errc{} || end != text->data() + text->size() || ttl < 0 || ttl > ttl_ms_max)
    return Error{
        fmt::format("TTL {}: expected milliseconds from {} to {}, or 0 for none", printable(*text, shown), ttl_ms_min, ttl_ms_max)};
  return milliseconds(ttl == 0 ? 0 : std::max(ttl, ttl_ms_min));
}

std::optional<std::string> copy_of(const std::string* id) { return id ? std::optional(*id) : std::nullopt; }

const std::string* pointer_to(const std::optional<std::string>& id) { return id ? &*id : nullptr; }

}  // namespace

void Broker::handle(Client& client, Command command) {
  const auto* const id = command.header("ID");
  const auto& verb = command.verb;
  if (verb == "CONNECT") return connect(client, command);
  if (verb == "DISCONNECT") return disconnect(client, id);
  const bool is_known = verb == "PUT" || verb == "NOOP" || verb == "SUB" || verb == "UNSUB";
  if (!is_known) {
    ++counters_.malformed;
    return refuse(client, fmt::format("unknown verb {}, expected CONNECT, SUB, UNSUB, PUT, NOOP or DISCONNECT", printable(verb, shown)),
                  id);
  }
  if (!client.has_session) return refuse_and_close(client, "not connected, expected CONNECT first", id);
  if (verb == "PUT") return put(client, std::move(command));
  if (verb == "SUB") return subscribe(client, command);
  if (verb == "UNSUB") return unsubscribe(client, command);
  if (id) succeed(client, id);  // NOOP
}

void Broker::succeed(Client& client, const std::string* id) {
  if (id) delivery_.answer(client, ok(*id), true, now_);
  if (client.is_muted) schedule(client);
}

// After a restart the client counts on what it was told OK for. NOOPs and messages wait as they do behind each of these commands.
void Broker::succeed_when_kept(Client& client, const std::string* id) {
  if (!client.peer.named_itself) {
    succeed(client, id);
    if (id) hold(client);
    return delivery_.flush(client, now_);
  }
  if (!id) return parts_.keep_session(client.peer.routing_id, {});
  const auto connection = client.connection;
  const auto ticket = delivery_.promise_answer(client);
  auto kept = [this, alive = std::weak_ptr<bool>(alive_), connection, ticket, id = *id](Time now) {
    if (alive.expired()) return;
    now_ = now;
    auto* const asker = clients_.at(connection);
    if (!asker) return;
    hold(*asker);
    answer_late(connection, ticket, ok(id));
  };
  parts_.keep_session(client.peer.routing_id, std::move(kept));
}

void Broker::refuse(Client& client, const std::string& why, const std::string* id) {
  ++counters_.refused;
  delivery_.answer(client, error(why, id), id != nullptr, now_);
  if (client.is_muted) schedule(client);
}

void Broker::refuse_and_close(Client& client, const std::string& why, const std::string* id) {
  ++counters_.refused;
  if (id) delivery_.answer(client, error(why, id), true, now_);
  end_session(client, why, Transport::Closing::after_queue);
}

// A client that is refused may come again at once.
void Broker::note_refusal(const Client& client, const std::string& why) {
  const auto& address = client.peer.address;
  refusals_.note(address.substr(0, address.rfind(':')), fmt::format("client \"{}\" from {}", printable(client.peer.routing_id), address),
                 why, now_);
}

void Broker::not_allowed(Client& client, const std::string& what, const std::string* id) {
  ++counters_.not_allowed;
  std::uint64_t count = 0;
  if (Delivery::is_due(client.complained().refusals, now_, count))
    log_.warning("client \"{}\" from {} (key {}, {}) may not {}: refused={}", printable(client.peer.routing_id), client.peer.address,
                 client.grant.name.empty() ? "without a name" : printable(client.grant.name), printable(client.grant.source), what, count);
  refuse(client, "not allowed to " + what, id);
}

// `publisher`: nullptr where it has gone.
void Broker::note_too_large(Client* publisher, const std::string& topic, const std::string& why) {
  ++counters_.too_large;
  std::uint64_t count = 0;
  if (!publisher || !Delivery::is_due(publisher->complained().oversize, now_, count)) return;
  log_.warning(
      "client \"{}\" from {}: a message for topic \"{}\" is too large for the backbone, {}: such messages of it since the last time={}",
      printable(publisher->peer.routing_id), publisher->peer.address, printable(topic, shown), why, count);
}

void Broker::connect(Client& caller, const Command& command) {
  const auto* const id = command.header("ID");
  auto* client = &caller;
  const auto ttl = ttl_of(command);
  if (!ttl) return refuse(caller, ttl.error().message, id);
  if (const auto* const certificate = command.header("CERTIFICATE")) {
    // Its connector brings what it was given once, also where the operator has brought us a later one.
    if (const auto taken = parts_.access.take_certificate(*certificate); !taken && taken.error().code != "superseded") {
      note_refusal(caller, "its certificate is refused: " + taken.error().message);
      return refuse_and_close(caller, "the certificate is refused: " + taken.error().message, id);
    }
  }
  auto grant = parts_.access.grant(caller.peer.key, caller.peer.routing_id);
  if (!grant) return refuse_and_close(caller, "not allowed to connect: " + grant.error().message, id);
  if (grant->awaits_certificate) return refuse_and_close(caller, "not allowed to connect without a certificate (header CERTIFICATE)", id);
  if (!caller.has_session) {
    auto* const session = clients_.session(caller.peer.routing_id);
    if (session && session->peer.key != caller.peer.key)
      return refuse_and_close(caller, "the routing id belongs to a session under another key", id);
    const auto has_room = session ? Result<void>() : make_room(identity_of(caller.peer.routing_id));
    if (!has_room) {
      note_refusal(caller, has_room.error().message);
      return refuse_and_close(caller, "busy: " + has_room.error().message, id);
    }
    if (session) {
      // Another connection of this name was faster.
      const auto connection = caller.connection;
      const Peer peer = caller.peer;
      if (caller.is_muted) parts_.outlet.resume(connection);
      deadlines_.remove(caller);
      clients_.remove(caller);
      take_over(*session, connection, peer, *grant);
      client = session;
    } else {
      clients_.begin_session(caller);
      caller.since = now_;
    }
  }
  set_grant(*client, std::move(*grant));
  client->ttl = *ttl;
  const auto* const version = command.header("VERSION");
  client->version = version ? version->substr(0, shown) : std::string();
  for (auto& subscription : client->subscriptions) subscription.is_stale = true;
  client->is_renewing = !client->subscriptions.empty();
  if (client->is_renewing) {
    Delivery::set_aside(*client);
    renew(*client);
  }
  log_.debug("client \"{}\" from {} connects: ttl_ms={} version={} key={}", printable(client->peer.routing_id), client->peer.address,
             client->ttl.count(), printable(client->version), printable(client->grant.name));
  came(*client);
  hold(*client);
  schedule(*client);
  succeed_when_kept(*client, id);
  delivery_.flush(*client, now_);
}

// Each name is looked for among the client's, and a message has room for a million of them.
bool Broker::names_topics(Client& client, const Command& command) {
  const auto* const id = command.header("ID");
  const auto count = command.body.size();
  if (count == 0)
    refuse(client, command.verb + " without a topic, expected an empty frame and topics behind the headers", id);
  else if (count > limits_.topics)
    refuse(client, fmt::format("{} topics, expected 1 to {} in one {} (topics_max)", count, limits_.topics, command.verb), id);
  return count > 0 && count <= limits_.topics;
}

void Broker::subscribe(Client& client, const Command& command) {
  const auto* const id = command.header("ID");
  if (!names_topics(client, command)) return;
  std::size_t added = 0;
  for (const auto& name : command.body) {
    if (name.empty() || name.size() > limits_.topic_bytes)
      return refuse(client, fmt::format("a topic of {} bytes, expected 1 to {}", name.size(), limits_.topic_bytes), id);
    if (!client.grant.may_subscribe(name)) return not_allowed(client, "subscribe to \"" + printable(name, shown) + "\"", id);
    auto* const topic = topics_.find(name);
    if (!topic || !Topics::find(client, *topic)) ++added;
  }
  if (client.subscriptions.size() + added > limits_.topics)
    return refuse(client,
                  fmt::format("too many topics: {} and {} more, expected {} at most", client.subscriptions.size(), added, limits_.topics),
                  id);
  std::vector<std::string_view> persistent;
  for (const auto& name : command.body) {
    auto* topic = topics_.find(name);
    auto* const known = topic ? Topics::find(client, *topic) : nullptr;
    if (known && std::exchange(known->is_stale, false))
      Delivery::take_back(client, name);
    else if (!known)
      add_subscription(client, name);
    topic = topics_.find(name);
    if (topic->is_persistent) persistent.push_back(topic->name);
  }
  if (client.is_renewing) renew(client);
  if (id) hold(client);
  // What waits in a queue comes behind the answer. Who owns it is written before the session is.
  client.is_asking = id != nullptr;
  for (const auto name : persistent)
    if (auto* const topic = topics_.find(name)) own(client, *topic);
  if (added > 0)
    succeed_when_kept(client, id);
  else
    succeed(client, id);
  client.is_asking = false;
  delivery_.flush(client, now_);
}

void Broker::unsubscribe(Client& client, const Command& command) {
  const auto* const id = command.header("ID");
  if (!names_topics(client, command)) return;
  bool is_changed = false;
  for (const auto& name : command.body) {
    auto* const topic = topics_.find(name);
    if (!topic || !Topics::find(client, *topic)) continue;
    end_subscription(client, *topic, Leaving::unsubscribed);
    is_changed = true;
  }
  if (id) hold(client);
  if (is_changed)
    succeed_when_kept(client, id);
  else
    succeed(client, id);
  delivery_.flush(client, now_);
}

void Broker::put(Client& client, Command command) {
  const auto* const id = command.header("ID");
  const auto* const name = command.header("TOPIC");
  if (!name) return refuse(client, "PUT without a topic, expected a header TOPIC", id);
  if (name->empty() || name->size() > limits_.topic_bytes)
    return refuse(client, fmt::format("a topic of {} bytes, expected 1 to {}", name->size(), limits_.topic_bytes), id);
  if (!client.grant.may_publish(*name)) return not_allowed(client, "publish on \"" + printable(*name, shown) + "\"", id);
  const auto body = size_of(command.body);
  if (body > limits_.body_bytes)
    return refuse(client, fmt::format("a body of {} bytes, expected {} at most (max_message_size)", body, limits_.body_bytes), id);
  ++client.in;
  ++counters_.put;
  // It may subscribe to the topic itself, and its answer comes first.
  client.is_asking = id != nullptr;
  // It goes about its work, so it is not between two subscriptions.
  if (client.hold_until != Time{}) release(client);

  const auto own_id = copy_of(id);
  const auto* const id_now = pointer_to(own_id);
  std::string topic_name = *name;
  auto* const topic = topics_.find(topic_name);
  const bool is_persistent = topic ? topic->is_persistent && !topic->is_unkept : parts_.kept.is_persistent(topic_name);
  const auto message = std::make_shared<const Frames>(message_of(std::move(command)));
  const auto bytes = size_of(*message);
  if (is_persistent) return put_kept(client, std::move(topic_name), message, bytes, own_id);
  FanOut result;
  if (topic) result = fan_out(*topic, message, bytes, client.connection, true);
  const auto passed_on = parts_.backbone ? parts_.backbone->publish(topic_name, message) : Result<void>();
  if (!topic && !parts_.backbone) ++counters_.unheard;
  if (!passed_on && passed_on.error().code == "too_large")
    note_too_large(&client, topic_name, passed_on.error().message);
  else if (!passed_on)
    ++counters_.backbone_away;
  if (!id_now) return;
  client.is_asking = false;
  if (result.refused > 0)
    refuse(client, fmt::format("the queues of {} of {} subscribers are full", result.refused, result.reached + result.refused), id_now);
  else if (!passed_on)
    refuse(client,
           fmt::format("{} subscribers of this broker have it, other brokers do not: {}", result.reached, passed_on.error().message),
           id_now);
  else
    succeed(client, id_now);
  delivery_.flush(client, now_);
}

void Broker::disconnect(Client& client, const std::string* id) {
  const auto own_id = copy_of(id);
  if (client.has_session) {
    log_.debug("client \"{}\" from {} disconnects", printable(client.peer.routing_id), client.peer.address);
    const auto connection = client.connection;
    const Peer peer = client.peer;
    Grant grant = client.grant;
    // It keeps its connection, and may CONNECT again; what it has asked before is answered.
    std::deque<Backlog::Answer> owed;
    if (client.backlog) owed.swap(client.backlog->answers);
    // What is still in its connection comes behind them, and behind the answer to this.
    const bool was_halted = std::exchange(client.is_halted, false);
    if (client.holds > 0 || client.is_muted) parts_.outlet.resume(connection);
    leave_connection(client);
    end_session(client, "it said DISCONNECT");
    auto& fresh = clients_.add(peer);
    clients_.connect(fresh, connection);
    fresh.is_halted = was_halted;
    fresh.since = fresh.last_heard = fresh.last_sent = now_;
    set_grant(fresh, std::move(grant));
    if (!owed.empty()) {
      fresh.more().answers = std::move(owed);
      delivery_.halt(fresh);
    }
    succeed(fresh, pointer_to(own_id));
    delivery_.flush(fresh, now_);
    schedule(fresh);
    return;
  }
  succeed(client, pointer_to(own_id));
}

}  // namespace gorgone::mcollective
