#pragma once
// The broker's decisions: who is connected, subscribed, silent or gone, and what each command becomes. Does no I/O: it is fed with
// connections, messages and the time, and tells an outlet what to send and to close. On the loop.

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "backbone.hpp"
#include "delivery.hpp"
#include "kept_queues.hpp"
#include "mc0.hpp"
#include "refusal_log.hpp"
#include "session_record.hpp"

namespace gorgone::mcollective {

/// A shorter TTL than the least is taken for it: nobody can keep up with less.
inline constexpr std::int64_t ttl_ms_min = 100, ttl_ms_max = 604800000;

class Broker {
 public:
  struct Parts {
    Outlet& outlet;
    Access& access;
    KeptQueues& kept;
    Backbone* backbone = nullptr;  ///< nullptr: there is none
    /// What record_of() says of this routing id is another thing now.
    std::function<void(const std::string& routing_id)> session_changed;
    /// The same, by a word of its client. `done` says that it is kept, and may come at once; empty: nobody waits for it.
    std::function<void(const std::string& routing_id, std::function<void(Time now)> done)> keep_session;
    /// next() is earlier than it was.
    std::function<void()> sooner;
  };

  Broker(Parts parts, const BrokerLimits& limits, const Log& log);
  Broker(const Broker&) = delete;
  ~Broker();

  // What comes from the transport.
  Result<void> admit(const Peer& peer) const;
  void opened(ConnectionId connection, const Peer& peer, Time now);
  void message(ConnectionId from, Frames frames, Time now);
  /// `left`: what was still in its connection.
  void closed(ConnectionId connection, const Error& why, Transport::Waiting left, Time now);
  void taken(ConnectionId by, std::uint64_t number, Time now);
  void room(ConnectionId of, Time now);

  // What comes from the other parts.
  void offered(const std::string& topic, const KeptMessage& message, Time now);
  /// The queue is not this identity's, or not any more, but `owner`'s; of the same identity under another key where that is empty.
  void not_owner(const std::string& topic, const std::string& identity, const std::string& owner, Time now);
  /// Its owner has been away for too long.
  void queue_is_free(const std::string& topic, Time now);
  void from_backbone(const std::string& topic, const SharedFrames& message, Time now);
  /// The client of a session is connected to another broker.
  void session_elsewhere(const SessionPlace& place, Time now);
  void grants_changed(Time now);

  /// Heartbeats, silence, ends of grants: all whose time has come.
  void tick(Time now);
  /// When to call tick() next.
  std::optional<Time> next() const { return deadlines_.next(); }

  /// A session of before the restart: its client is away, and served as soon as it connects. An Error says why it is not taken.
  Result<void> restore(const std::string& routing_id, std::string_view record, Time now);
  /// As it is to be kept; nothing where there is no such session, or its client cannot come back.
  std::optional<std::string> record_of(const std::string& routing_id) const;

  /// Nothing is decided any more, sessions stay as they are: answers of the queues that are under way get nowhere, and what only waited for
  /// its moment is sent. What closed() tells from now on is counted for lost_at_stop().
  void stop(Time now);
  struct Lost {
    std::size_t messages = 0, clients = 0;
  };
  /// What those who were closed have not got, and what waits for clients that are away.
  Lost lost_at_stop() const;

  /// Those whose clients are connected.
  std::vector<SessionPlace> sessions_here(Time now);
  const Clients& clients() const { return clients_; }
  const Topics& topics() const { return topics_; }
  const Counters& counters() const { return counters_; }

 private:
  enum class Leaving { unsubscribed, gone };
  struct FanOut {
    std::size_t reached = 0, refused = 0;
  };

  // commands.cpp
  void handle(Client& client, Command command);
  void connect(Client& client, const Command& command);
  bool names_topics(Client& client, const Command& command);
  void subscribe(Client& client, const Command& command);
  void unsubscribe(Client& client, const Command& command);
  void put(Client& client, Command command);
  void put_kept(Client& client, std::string topic, SharedFrames message, std::size_t bytes, std::optional<std::string> id);
  void hold_while_kept(ConnectionId publisher, std::size_t bytes);
  void was_kept(ConnectionId publisher, std::size_t bytes);
  void note_not_kept(const std::string& topic, const Error& why);
  void answer_late(ConnectionId to, std::uint64_t ticket, Frames frames);
  void disconnect(Client& client, const std::string* id);
  void succeed(Client& client, const std::string* id);
  void succeed_when_kept(Client& client, const std::string* id);
  void refuse(Client& client, const std::string& why, const std::string* id);
  void refuse_and_close(Client& client, const std::string& why, const std::string* id);
  void note_refusal(const Client& client, const std::string& why);
  void not_allowed(Client& client, const std::string& what, const std::string* id);
  void note_too_large(Client* publisher, const std::string& topic, const std::string& why);

  FanOut fan_out(Topic& topic, const SharedFrames& message, std::size_t bytes, ConnectionId publisher, bool to_owner);
  void set_grant(Client& client, Grant grant);
  void take_over(Client& session, ConnectionId connection, const Peer& peer, Grant grant);
  void leave_connection(Client& client);
  void bound_strangers();
  void add_subscription(Client& client, std::string_view topic);
  void end_subscription(Client& client, Topic& topic, Leaving how);
  void renew(Client& client);
  void end_stale(Client& client);
  void end_forbidden(Client& client);
  void end_session(Client& client, const std::string& why, Transport::Closing when = Transport::Closing::at_once);
  void own(Client& client, Topic& topic);
  void pass_on(Topic& topic);
  void pass_on(Topic& topic, std::string_view identity);
  void lost(const Client& client, std::size_t messages, const std::string& why);
  static std::size_t lost_of(const Client& client, const Transport::Waiting& left);
  void hold(Client& client);
  void release(Client& client);
  void look_at(Client& client);
  void schedule(Client& client);
  Time next_of(const Client& client) const;
  Time speak_at(const Client& client) const;
  Time silent_until(const Client& client) const;
  milliseconds patience_with(milliseconds ttl) const;
  std::int64_t away_s(const Client& client) const;
  Result<void> make_room(const std::string& identity);
  void came(Client& client);
  SessionClaim claim_of(const Client& client) const;
  void heard_claim(std::int64_t number);
  SessionRecord::Claim kept_claim(const Client& client) const;
  void restore_claim(Client& client, const SessionRecord::Claim& kept);

  Parts parts_;
  const BrokerLimits limits_;
  const Log& log_;
  Clients clients_;
  Topics topics_;
  Counters counters_;
  Deadlines<Client> deadlines_;
  Delivery delivery_;
  RefusalLog refusals_{log_};
  Complaint strangers_, other_keys_, losses_, evictions_;
  std::unordered_map<ConnectionId, std::size_t> left_at_stop_;
  bool is_stopped_ = false;
  std::int64_t last_claim_ = 0;        // the highest number that was given or heard
  std::deque<ConnectionId> awaiting_;  // await a certificate, or have done so; the oldest first
  Time now_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  /// What publishers PUT to persistent topics and is not stored yet.
  struct Keeping {
    std::size_t bytes = 0;
    bool is_held = false;
  };
  std::unordered_map<ConnectionId, Keeping> keeping_;
  std::size_t keeping_bytes_ = 0;
  std::map<std::string, Complaint> not_kept_;  ///< by topic; those of no topic in particular by none
};

}  // namespace gorgone::mcollective
