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

constexpr auto complaint_every = std::chrono::seconds(60);

class NatsBackbone final : public Backbone {
 public:
  NatsBackbone(Agent& agent, NatsSpec spec, const std::string& prefix)
      : agent_(agent), subjects_(prefix + ".topic."), connection_(agent, std::move(spec)) {}

  void start(Events events) override {
    events_ = std::move(events);
    connection_.start();
  }

  bool publish(const std::string& topic, SharedFrames message) override {
    const Envelope envelope{0, {}, std::move(message)};
    auto subject = subjects_ + subject_of(topic);
    const auto bytes = sealed_bytes(envelope);
    if (bytes > connection_.payload_max() || subject.size() > subject_bytes_max) {
      too_large(topic, bytes, subject.size());
      return false;
    }
    if (!connection_.is_up()) {
      ++away_;
      return false;
    }
    NatsOutgoing outgoing{std::move(subject), {}, seal(envelope)};
    return connection_.send(std::move(outgoing));
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
  void too_large(const std::string& topic, std::size_t bytes, std::size_t subject_bytes) {
    ++too_large_;
    const auto now = std::chrono::steady_clock::now();
    if (now < complain_after_) return;
    complain_after_ = now + complaint_every;
    agent_.log().warning(
        "a message for topic \"{}\" is too large for the NATS servers and reaches no other broker: its bytes={} "
        "max_payload={} "
        "bytes of its subject={} at most={} such messages so far={}",
        printable(topic), bytes, connection_.payload_max(), subject_bytes, subject_bytes_max, too_large_);
  }

  Agent& agent_;
  const std::string subjects_;
  Events events_;
  std::set<std::string> wanted_;
  std::uint64_t away_ = 0, too_large_ = 0, foreign_ = 0;
  std::chrono::steady_clock::time_point complain_after_{};
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
