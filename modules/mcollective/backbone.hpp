#pragma once
// What joins the brokers of several agents: a NATS cluster. Without the option `backbone` there is none. On the loop; the C client's own
// threads never touch anything of ours but through posts to it. docs/mcollective-backbone.md is the user's page.

#include <gorgone/agent.hpp>
#include <gorgone/config.hpp>

#include <functional>
#include <memory>
#include <string>

#include "identity_key.hpp"
#include "kept_queues.hpp"
#include "session_place.hpp"
#include "transport.hpp"

namespace gorgone::mcollective {

class NatsConnection;

class Backbone {
 public:
  struct Events {
    /// A PUT at another broker, on a topic that was wanted here; never one of our own.
    std::function<void(const std::string& topic, SharedFrames message)> message;
    /// The client of this session is connected to another broker.
    std::function<void(const SessionPlace&)> session_elsewhere = {};
    /// Sessions whose clients are connected here; for brokers that could not hear of them when they came.
    std::function<std::vector<SessionPlace>()> sessions_here = {};
    /// Keys to which other brokers have pinned identities, or have forgotten that.
    std::function<void(const Pins&)> pins_told = {};
    /// Those that are pinned here; for brokers that join.
    std::function<Pins()> pins_here = {};
  };
  virtual ~Backbone() = default;

  /// Connects in the background, and again for ever.
  virtual void start(Events events) = 0;
  /// Ends the connection, beside the loop: servers that are being tried or take nothing hold it up for seconds. Nothing is told from the
  /// call on, and nothing is sent.
  virtual asio::awaitable<void> stop() = 0;
  /// An Error where it is away, its own queue is full or the message is larger than the NATS servers take (code "too_large"): it reached
  /// nobody outside this broker.
  virtual Result<void> publish(const std::string& topic, SharedFrames message) = 0;
  /// The first local subscriber of a topic came, the last one went.
  virtual void want(const std::string& topic) = 0;
  virtual void unwant(const std::string& topic) = 0;
  /// True where the other brokers have been heard for long enough to know what they have told.
  virtual bool hears() const = 0;
  /// Its client has connected here.
  virtual void tell_session(const SessionPlace& place) = 0;
  /// They have been pinned, or forgotten, here.
  virtual void tell_pins(const Pins& pins) = 0;
  virtual json::object describe() const = 0;  ///< state, server, since, reconnects, in, out, dropped by cause, last_error

  /// What persistent topics go over.
  virtual NatsConnection& connection() = 0;
};

/// `backbone`, `backbone_credentials`, `_user`, `_password`, `_token`, `_tls`, `_prefix`, `_replicas`.
Schema backbone_schema();
std::vector<Problem> check_backbone(const Settings& settings);
/// nullptr where the option `backbone` is empty.
std::unique_ptr<Backbone> make_backbone(Agent& agent, const Settings& settings);
/// Queues in the journal and, where there is a backbone, in its JetStream. `backbone` outlives them, and is started after them.
std::unique_ptr<KeptQueues> make_kept_queues(Agent& agent, const Settings& settings, Backbone* backbone);

}  // namespace gorgone::mcollective
