#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "backbone.hpp"
#include "envelope.hpp"
#include "journal_queues.hpp"
#include "nats_connection.hpp"
#include "stream_queues.hpp"
#include "subjects.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::size_t told_at_once = std::size_t{32} << 10;
// All tell what they have when one joins.
constexpr auto heard_after = std::chrono::seconds(1);

class NatsBackbone final : public Backbone {
 public:
  NatsBackbone(Agent& agent, NatsSpec spec, const std::string& prefix)
      : subjects_(prefix + ".topic."), sessions_(prefix + ".session"), pins_(prefix + ".pin"), connection_(agent, std::move(spec)) {}

  void start(Events events) override {
    events_ = std::move(events);
    connection_.subscribe(sessions_, [this](const NatsMessage& message) { sessions_told(message.data); });
    connection_.subscribe(pins_, [this](const NatsMessage& message) { pins_told(message.data); });
    // While we could not hear each other clients may have gone from one to the other.
    connection_.on_change([this](bool is_up) {
      if (!is_up) return;
      up_since_ = std::chrono::steady_clock::now();
      tell_sessions();
      send(sessions_, {});
      tell_pins_here();
      send(pins_, {});
    });
    connection_.start();
  }

  asio::awaitable<void> stop() override { return connection_.stop(); }

  bool hears() const override { return connection_.is_up() && std::chrono::steady_clock::now() - up_since_ >= heard_after; }

  void tell_session(const SessionPlace& place) override {
    if (connection_.is_up()) send_all(sessions_, write_places({place}, told_bytes_max()));
  }

  void tell_pins(const Pins& pins) override {
    if (!connection_.is_up()) return;  // all of them, when it is
    send_all(pins_, write_pins(pins, told_bytes_max()));
  }

  Result<void> publish(const std::string& topic, SharedFrames message) override {
    const Envelope envelope{0, {}, std::move(message)};
    auto subject = subjects_ + subject_of(topic);
    const auto bytes = sealed_bytes(envelope);
    if (bytes > connection_.payload_max() || subject.size() > subject_bytes_max) {
      ++too_large_;
      if (subject.size() > subject_bytes_max) return Error{"the topic is too long for the backbone", "too_large"};
      return Error{fmt::format("the message is {} bytes, max_payload of the NATS servers is {}", bytes, connection_.payload_max()),
                   "too_large"};
    }
    if (!connection_.is_up()) {
      ++away_;
      return Error{"the backbone is away"};
    }
    NatsOutgoing outgoing{std::move(subject), {}, seal(envelope)};
    if (!connection_.send(std::move(outgoing))) return Error{"busy: too much waits for the backbone"};
    return {};
  }

  void want(const std::string& topic) override {
    auto subject = subjects_ + subject_of(topic);
    if (subject.size() > subject_bytes_max || !wanted_.insert(topic).second) return;
    connection_.subscribe(subject, [this, topic](const NatsMessage& message) {
      auto envelope = unseal(message.data);
      if (envelope)
        events_.message(topic, std::move(envelope->frames));
      else
        ++foreign_;
    });
  }

  void unwant(const std::string& topic) override {
    if (wanted_.erase(topic) > 0) connection_.unsubscribe(subjects_ + subject_of(topic));
  }

  json::object describe() const override {
    const auto& status = connection_.status();
    json::object dropped;
    dropped["away"] = away_;
    dropped["too_large"] = too_large_;
    dropped["not_sent"] = status.dropped_out;
    dropped["loop_too_slow"] = status.dropped_in;
    dropped["not_ours"] = foreign_;
    json::object about;
    about["state"] = status.is_up ? "up" : "away";
    about["server"] = printable(status.server);
    about["since"] = status.since_s;
    about["reconnects"] = status.connects > 0 ? status.connects - 1 : 0;
    about["topics"] = wanted_.size();
    about["in"] = status.in;
    about["out"] = status.out;
    about["payload_max"] = connection_.payload_max();
    about["dropped"] = std::move(dropped);
    about["last_error"] = printable(status.last_error, 300);
    return about;
  }

  NatsConnection& connection() override { return connection_; }

 private:
  void send(const std::string& subject, std::string payload) {
    NatsOutgoing told{subject, {}, std::move(payload)};
    connection_.send(std::move(told));
  }

  std::size_t told_bytes_max() const { return std::min(told_at_once, connection_.payload_max()); }

  void send_all(const std::string& subject, std::vector<std::string> payloads) {
    for (auto& payload : payloads) send(subject, std::move(payload));
  }

  void tell_pins_here() {
    if (events_.pins_here) tell_pins(events_.pins_here());
  }

  void pins_told(const std::string& payload) {
    if (payload.empty()) return tell_pins_here();
    const auto pins = read_pins(payload);
    if (!pins) {
      ++foreign_;
      return;
    }
    if (events_.pins_told) events_.pins_told(*pins);
  }

  void tell_sessions() {
    if (!events_.sessions_here) return;
    send_all(sessions_, write_places(events_.sessions_here(), told_bytes_max()));
  }

  void sessions_told(const std::string& payload) {
    if (payload.empty()) return tell_sessions();
    const auto places = read_places(payload);
    if (!places) {
      ++foreign_;
      return;
    }
    for (const auto& place : *places)
      if (events_.session_elsewhere) events_.session_elsewhere(place);
  }

  const std::string subjects_, sessions_, pins_;
  Events events_;
  std::set<std::string> wanted_;
  std::uint64_t away_ = 0, too_large_ = 0, foreign_ = 0;
  std::chrono::steady_clock::time_point up_since_{};
  NatsConnection connection_;
};

NatsSpec spec_of(Agent& agent, const Settings& settings) {
  NatsSpec spec;
  spec.servers = settings.texts("backbone");
  spec.name = "gorgoned " + agent.hostname();
  spec.credentials = settings.text("backbone_credentials");
  spec.user = settings.text("backbone_user");
  spec.password = settings.text("backbone_password");
  spec.token = settings.text("backbone_token");
  spec.tls_ca = settings.text("backbone_tls.ca");
  spec.tls_cert = settings.text("backbone_tls.cert");
  spec.tls_key = settings.text("backbone_tls.key");
  spec.tls_verify = settings.boolean("backbone_tls.verify");
  spec.tls = !spec.tls_ca.empty() || !spec.tls_cert.empty() ||
             std::ranges::any_of(spec.servers, [](const std::string& server) { return server.starts_with("tls://"); });
  return spec;
}

}  // namespace

std::unique_ptr<Backbone> make_backbone(Agent& agent, const Settings& settings) {
  if (settings.texts("backbone").empty()) return nullptr;
  return std::make_unique<NatsBackbone>(agent, spec_of(agent, settings), settings.text("backbone_prefix"));
}

std::unique_ptr<KeptQueues> make_kept_queues(Agent& agent, const Settings& settings, Backbone* backbone) {
  if (!backbone) return std::make_unique<JournalQueues>(agent, kept_limits(settings));
  return std::make_unique<StreamQueues>(agent, backbone->connection(), kept_limits(settings), settings.text("backbone_prefix"),
                                        static_cast<int>(settings.integer("backbone_replicas")));
}

}  // namespace gorgone::mcollective
