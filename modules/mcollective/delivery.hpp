#pragma once
// How messages get to clients: at once, later where the client may be given nothing now, or not at all where its queue is full. Decides;
// the outlet performs. On the loop.

#include <gorgone/log.hpp>

#include <cstdint>
#include <functional>
#include <string>

#include "broker_options.hpp"
#include "clients.hpp"

namespace gorgone::mcollective {

/// What the broker does to connections: the transport, or a test.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual std::uint64_t send(ConnectionId to, SharedFrames frames) = 0;
  virtual void answer(ConnectionId to, SharedFrames frames) = 0;
  virtual void hold(ConnectionId whom, bool is_held) = 0;
  virtual Transport::Waiting waiting(ConnectionId of) const = 0;
  virtual Transport::Waiting untaken(ConnectionId of) const = 0;
  virtual void confirm(ConnectionId of) = 0;
  virtual void pause(ConnectionId of) = 0;
  virtual void resume(ConnectionId of) = 0;
  virtual void close(ConnectionId which, const std::string& why, Transport::Closing when) = 0;
};

/// What has become of messages since the start.
struct Counters {
  std::uint64_t put = 0, delivered = 0, kept = 0, from_backbone = 0;
  std::uint64_t kept_taken = 0;    ///< of queues, by their owners; `delivered` has none of these
  std::uint64_t unheard = 0;       ///< PUT on a topic without subscribers here
  std::uint64_t queue_full = 0;    ///< dropped for a subscriber whose queue was full
  std::uint64_t session_over = 0;  ///< waited for a client that did not come back, or in a connection that ended
  std::uint64_t not_allowed = 0, kept_refused = 0, backbone_away = 0;
  std::uint64_t too_large = 0;               ///< for the backbone; neither kept_refused nor backbone_away
  std::uint64_t malformed = 0, refused = 0;  ///< no commands, and commands that were answered ERROR for other reasons
  std::uint64_t expired = 0, handovers = 0, moved = 0, held_back = 0;
};

class Delivery {
 public:
  Delivery(Outlet& outlet, const BrokerLimits& limits, Clients& clients, Counters& counters, const Log& log)
      : outlet_(outlet), limits_(limits), clients_(clients), counters_(counters), log_(log) {}

  /// False where the client's queue is full. `publisher` is who may be held back for it; 0: nobody.
  /// `is_asked` false: the subscription is stale, see Backlog::unasked.
  bool deliver(Client& to, const SharedFrames& message, std::size_t bytes, ConnectionId publisher, bool is_asked, Time now);
  /// A message of a queue that has a bound of its own.
  void offer(Client& to, Parcel parcel, bool is_asked, Time now);

  /// An answer to a command, behind those to earlier ones; one without an ID behind all that are waited for.
  void answer(Client& to, Frames frames, bool has_id, Time now);
  /// The place of an answer that comes later.
  std::uint64_t promise_answer(Client& to);
  /// Nothing happens where the client is gone or has another connection now.
  void keep_promise(ConnectionId to, std::uint64_t ticket, Frames frames, Time now);

  /// What waits in its connection does not go on, until flush(): it has asked something.
  void halt(Client& client);
  /// Sends what was held back, where nothing holds it any more.
  void flush(Client& client, Time now);
  void heartbeat(Client& client, Time now);
  void confirmed(Client& client, std::uint64_t number, const std::function<void(const KeptPlace&)>& taken);
  /// Whoever waits for this client's queue goes on when there is room, or when its time is up. True: someone still waits.
  bool look_at_queue(Client& client, Time now);
  /// All subscriptions of the client are stale now.
  static void set_aside(Client& client);
  /// It has subscribed again: what was set aside of the topic waits behind the rest.
  static void take_back(Client& client, std::string_view topic);
  /// How many messages were still set aside and are lost; those of queues are not.
  static std::size_t drop_unasked(Client& client);
  /// The queue of a topic is offered to somebody else now.
  static void forget_queue(Client& client, std::string_view topic);
  /// The connection is gone: what it was to get of queues is offered again, answers are not.
  void forget_connection(Client& client);
  /// Nobody waits for it any more.
  void release_publishers(Client& client);
  /// True where a complaint is due; `count` is of those since the last one.
  static bool is_due(Complaint& complaint, Time now, std::uint64_t& count, std::uint64_t added = 1);

 private:
  struct Load {
    std::size_t messages, bytes;
  };
  Load load_of(const Client& client) const;
  bool is_above(const Load& load, std::size_t eighths) const;
  std::uint64_t send(Client& to, Parcel parcel, Time now);
  void send_answer(Client& to, SharedFrames frames, Time now);
  /// No more commands are read from it for now.
  void mute(Client& client);
  void dropped(Client& client, const Load& load, Time now);
  void hold_back(ConnectionId publisher, Client& full, Time now);

  Outlet& outlet_;
  const BrokerLimits& limits_;
  Clients& clients_;
  Counters& counters_;
  const Log& log_;
  std::uint64_t tickets_ = 0;
  const SharedFrames noop_ = std::make_shared<const Frames>(Frames{"", "NOOP"});
};

}  // namespace gorgone::mcollective
