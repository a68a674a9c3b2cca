#pragma once
// Persistent topics: what is PUT to one is kept until the subscriber that owns its queue has taken it, at least once and in order, over
// restarts of broker and subscriber. In the agent's journal or, with a backbone, in its streams. On the loop.
//
// A queue belongs to a topic. Its owner is the identity that subscribed first, until it unsubscribes or has been away for as long as a
// message is kept; owners and queues are in the journal, or in the streams. Other subscribers of the topic get what comes while they are
// there, at most once, as on any topic: a PUT to a persistent topic goes to put() and, where other clients or brokers may want it, the way
// of any other message too (Backbone::publish), and who owns the queue gets it from offer() alone.

#include <gorgone/agent.hpp>
#include <gorgone/config.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "identity_key.hpp"
#include "transport.hpp"

namespace gorgone::mcollective {

/// A MESSAGE as it is sent to subscribers, from the delimiter to the body.
struct KeptMessage {
  std::uint64_t number = 0;  ///< rises within a queue
  SharedFrames frames;
};

class KeptQueues {
 public:
  /// So many messages of a queue are offered and not yet taken.
  static constexpr std::size_t unconfirmed_max = 64;

  struct Events {
    /// Send this to the owner of the topic, who is here (see attach); call taken() when it was taken. The next ones are offered meanwhile,
    /// in order, up to `unconfirmed_max`. Never called from inside a call of the owner of this object.
    std::function<void(const std::string& topic, const KeptMessage&)> offer;
    /// Only with a backbone; may be empty. attach() said true for want of better knowledge, and the queue is somebody else's, or its owner
    /// has subscribed at another broker since: this client is a subscriber like any other from now on. `owner`: whose it is; the same
    /// identity where that is at another broker, nobody where it is under another key.
    std::function<void(const std::string& topic, const std::string& identity, const std::string& owner)> not_owner = {};
    /// May be empty. The owner of the topic has given it up at another broker, or has been away for too long and is forgotten: whoever
    /// subscribes to it may have the queue.
    std::function<void(const std::string& topic)> is_free = {};
  };
  virtual ~KeptQueues() = default;

  virtual asio::awaitable<Result<void>> start(Events events) = 0;
  virtual bool is_persistent(std::string_view topic) const = 0;
  /// `done` comes when it is safe, or with an Error where the queue is full or nothing can be stored (the PUT is answered ERROR then). Its
  /// code is "too_large" where the backbone never takes such a message.
  virtual void put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done) = 0;
  /// A client with this identity subscribes. True: it owns the queue, and its messages are offered from now on, from the oldest not taken.
  bool attach(const std::string& topic, const std::string& identity) { return attach(topic, identity, {}); }
  virtual bool attach(const std::string& topic, const std::string& identity, const IdentityKey& key) = 0;
  /// False where attach() has said false because there are too many owners: what comes is not kept then, for nobody would take it.
  virtual bool has_room(const std::string& topic, const std::string& identity) const = 0;
  /// The owner is gone, or has lost its connection: what was offered and not taken is offered again at the next attach.
  virtual void detach(const std::string& topic, const std::string& identity) = 0;
  /// The owner does not want the topic any more: somebody else may own the queue.
  virtual void disown(const std::string& topic, const std::string& identity) = 0;
  /// Nobody subscribes to it here any more: is_free need not be told.
  virtual void nobody_here(const std::string& topic) { static_cast<void>(topic); }
  /// A number that is not offered any more (after detach) is ignored.
  virtual void taken(const std::string& topic, std::uint64_t number) = 0;
  /// topic, owner, here (the owner is attached), messages, bytes, oldest (age in s), expired, refused; with a backbone what waits in this
  /// broker's journal, and what each stream holds.
  virtual json::array describe() const = 0;
  /// Nothing is put any more. What was put and is not safe yet is in the journal when this ends; what cannot be is counted and told in the
  /// log. Before the backbone stops.
  virtual asio::awaitable<void> stop() = 0;
};

Schema kept_schema();
std::vector<Problem> check_kept(const Settings& settings);

}  // namespace gorgone::mcollective
