#pragma once
// A broker without sockets, files or a clock of its own: what it is fed with is written in the test, what it does is recorded.

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "broker.hpp"

namespace gorgone::mcollective::test {

using namespace std::chrono_literals;

struct FakeOutlet final : Outlet {
  struct Connection {
    std::vector<SharedFrames> sent;    ///< since it was last looked at
    std::vector<SharedFrames> queued;  ///< not taken by a client that does not read
    std::vector<SharedFrames> queued_answers;
    std::uint64_t number = 0;
    bool reads = true, is_paused = false, is_closed = false, is_asked = false, is_held = false;
    std::string why;
  };
  std::map<ConnectionId, Connection> connections;
  bool is_gone = false;  ///< nobody may ask for anything any more

  std::uint64_t send(ConnectionId to, SharedFrames frames) override {
    if (is_gone) throw std::logic_error("there is no transport");
    auto& connection = connections[to];
    if (connection.is_closed) return 0;
    (connection.reads ? connection.sent : connection.queued).push_back(std::move(frames));
    return ++connection.number;
  }
  void answer(ConnectionId to, SharedFrames frames) override {
    if (is_gone) throw std::logic_error("there is no transport");
    auto& connection = connections[to];
    if (!connection.is_closed) (connection.reads ? connection.sent : connection.queued_answers).push_back(std::move(frames));
  }
  void hold(ConnectionId whom, bool is_held) override { connections[whom].is_held = is_held; }
  Transport::Waiting untaken(ConnectionId of) const override { return waiting(of); }
  Transport::Waiting waiting(ConnectionId of) const override {
    if (is_gone) throw std::logic_error("there is no transport");
    Transport::Waiting waiting;
    const auto known = connections.find(of);
    if (known == connections.end()) return waiting;
    waiting.messages = known->second.queued.size();
    waiting.answers = known->second.queued_answers.size();
    waiting.sent = known->second.number - waiting.messages;
    for (const auto* queue : {&known->second.queued, &known->second.queued_answers})
      for (const auto& frames : *queue) waiting.bytes += size_of(*frames);
    return waiting;
  }
  void confirm(ConnectionId of) override { connections[of].is_asked = true; }
  void pause(ConnectionId of) override { connections[of].is_paused = true; }
  void resume(ConnectionId of) override { connections[of].is_paused = false; }
  void close(ConnectionId which, const std::string& why, Transport::Closing) override {
    connections[which].is_closed = true;
    connections[which].why = why;
  }
};

struct FakeAccess final : Access {
  std::set<std::string> refused_keys, awaiting_keys;
  std::vector<std::string> patterns{"**"};

  asio::awaitable<Result<void>> start() override { co_return Result<void>{}; }
  Result<Grant> grant(const std::string& key, const std::string&) override {
    if (refused_keys.contains(key)) return Error{"the key is revoked"};
    Grant grant;
    grant.source = "any";
    grant.awaits_certificate = awaiting_keys.contains(key);
    grant.publish = grant.subscribe = patterns;
    return grant;
  }
  Result<void> take_certificate(const std::string& text) override {
    if (text == "older") return gorgone::Error{"a later one holds", "superseded"};
    if (text != "good") return Error{"it is not signed by anybody known"};
    awaiting_keys.clear();
    return {};
  }
  Result<void> forget_pin(const std::string&) override { return {}; }
  json::object describe() const override { return {}; }
};

struct FakeKept final : KeptQueues {
  std::set<std::string, std::less<>> persistent;
  std::map<std::string, std::string> owners;
  std::set<std::string> attached;
  bool is_unsure = false;                          ///< attach() says true to anybody, as with a backbone
  std::map<std::string, std::string> attached_by;  ///< who was told so last
  std::vector<std::pair<std::string, std::function<void(Result<void>)>>> puts;
  std::vector<std::pair<std::string, std::uint64_t>> taken_by;

  asio::awaitable<Result<void>> start(Events) override { co_return Result<void>{}; }
  bool is_persistent(std::string_view topic) const override { return persistent.contains(topic); }
  void put(const std::string& topic, SharedFrames, std::function<void(Result<void>)> done) override {
    puts.emplace_back(topic, std::move(done));
  }
  bool attach(const std::string& topic, const std::string& identity, const IdentityKey&) override {
    if (!has_room(topic, identity)) return false;
    const auto& owner = owners.emplace(topic, identity).first->second;
    if (owner != identity && !is_unsure) return false;
    attached_by[topic] = identity;
    attached.insert(topic);
    return true;
  }
  bool is_full = false;  ///< there are too many owners
  bool has_room(const std::string& topic, const std::string& identity) const override {
    const auto owner = owners.find(topic);
    return !is_full || (owner != owners.end() && owner->second == identity);
  }
  void detach(const std::string& topic, const std::string&) override { attached.erase(topic); }
  void disown(const std::string& topic, const std::string&) override {
    attached.erase(topic);
    owners.erase(topic);
  }
  void taken(const std::string& topic, std::uint64_t number) override { taken_by.emplace_back(topic, number); }
  json::array describe() const override { return {}; }
  gorgone::asio::awaitable<void> stop() override { co_return; }
};

struct FakeBackbone final : Backbone {
  bool is_away = false, is_deaf = false, is_narrow = false;
  std::set<std::string> wanted;
  std::vector<std::string> published;
  std::vector<SessionPlace> told;
  void start(Events) override {}
  gorgone::asio::awaitable<void> stop() override { co_return; }
  bool hears() const override { return !is_deaf; }
  void tell_session(const SessionPlace& place) override { told.push_back(place); }
  void tell_pins(const Pins&) override {}
  gorgone::Result<void> publish(const std::string& topic, SharedFrames) override {
    if (is_away) return gorgone::Error{"the backbone is away"};
    if (is_narrow) return gorgone::Error{"the message is 9 bytes, max_payload of the NATS servers is 8", "too_large"};
    published.push_back(topic);
    return {};
  }
  void want(const std::string& topic) override { wanted.insert(topic); }
  void unwant(const std::string& topic) override { wanted.erase(topic); }
  json::object describe() const override { return {}; }
  NatsConnection& connection() override { throw std::logic_error("the broker asks for no connection"); }
};

/// "MESSAGE TOPIC t | body": a message on one line.
inline std::string line_of(const Frames& frames) {
  std::string line;
  for (std::size_t i = 1; i < frames.size(); ++i) line += (i > 1 ? " " : "") + (frames[i].empty() ? "|" : frames[i]);
  return line;
}

class World {
 public:
  explicit World(BrokerLimits given = quick_limits(), bool has_backbone = false) : limits(given) {
    Broker::Parts parts{outlet,
                        access,
                        kept,
                        has_backbone ? &backbone : nullptr,
                        [this](const std::string& id) { changed.insert(id); },
                        [this](const std::string& id, std::function<void(Time)> done) { keep(id, std::move(done)); },
                        [] {}};
    broker = std::make_unique<Broker>(std::move(parts), limits, log);
  }

  static BrokerLimits quick_limits() {
    BrokerLimits limits;
    limits.idle = 100s;
    limits.connect = 30s;
    limits.queue_messages = 16;
    limits.queue_bytes = 65536;
    return limits;
  }

  void open(ConnectionId connection, const std::string& routing_id, const std::string& key = "key") {
    Peer peer;
    peer.routing_id = routing_id;
    peer.key = key;
    peer.address = "192.0.2.1:1";
    outlet.connections[connection];
    broker->opened(connection, peer, now);
  }
  /// Frames behind the delimiter.
  void say(ConnectionId from, Frames frames) {
    frames.insert(frames.begin(), "");
    broker->message(from, std::move(frames), now);
  }
  /// What a client was sent since it was asked last.
  std::vector<std::string> heard(ConnectionId by) {
    std::vector<std::string> lines;
    for (const auto& frames : std::exchange(outlet.connections[by].sent, {})) lines.push_back(line_of(*frames));
    return lines;
  }
  /// Opens, connects and subscribes, and lets the grace go by.
  void join(ConnectionId connection, const std::string& routing_id, const Frames& topics = {}, const std::string& ttl = "30000") {
    open(connection, routing_id);
    say(connection, {"CONNECT", "ID", "c", "TTL", ttl, "VERSION", "0.2"});
    if (!topics.empty()) {
      Frames sub{"SUB", "ID", "s", ""};
      sub.insert(sub.end(), topics.begin(), topics.end());
      say(connection, std::move(sub));
    }
    pass(limits.grace);
    heard(connection);
  }
  void put(ConnectionId from, const std::string& topic, const std::string& body) { say(from, {"PUT", "TOPIC", topic, "", body}); }
  void pass(milliseconds time) {
    const auto until = now + time;
    for (auto next = broker->next(); next && *next <= until; next = broker->next()) {
      now = std::max(now, *next);
      broker->tick(now);
    }
    now = until;
  }
  bool is_open(ConnectionId connection) { return !outlet.connections[connection].is_closed; }
  /// The clients' side of a connection goes away.
  void lose(ConnectionId connection) {
    const auto left = outlet.untaken(connection);
    outlet.connections[connection].is_closed = true;
    broker->closed(connection, Error{"reset"}, left, now);
  }

  void keep(const std::string& id, std::function<void(Time)> done) {
    changed.insert(id);
    kept_at_once.insert(id);
    if (!done) return;
    if (!is_disk_slow) return done(now);
    to_be_kept.push_back(std::move(done));
  }
  void disk_goes_on() {
    for (const auto& done : std::exchange(to_be_kept, {})) done(now);
  }

  BrokerLimits limits;
  FakeOutlet outlet;
  FakeAccess access;
  FakeKept kept;
  FakeBackbone backbone;
  std::set<std::string> changed, kept_at_once;
  bool is_disk_slow = false;
  std::vector<std::function<void(Time)>> to_be_kept;  ///< while the disk is slow
  Time now = Time{} + 1000s;
  Log log{"test"};
  std::unique_ptr<Broker> broker;
};

}  // namespace gorgone::mcollective::test
