#include "service.hpp"

#include <fmt/ranges.h>

#include <ctime>

namespace gorgone::mcollective {
namespace {

// Beside those with a session and those that await a certificate: clients that have not said CONNECT yet, and those whose old connection
// is about to end.
constexpr std::size_t connections_beside = 256;
// What a message may have beside its body.
constexpr std::size_t headers_room = std::size_t{1} << 20;

}  // namespace

Service::Service(Agent& agent, const Settings& settings)
    : agent_(agent),
      settings_(settings),
      options_(read_broker(settings)),
      sessions_(agent, [this](const std::string& routing_id) { return broker_ ? broker_->record_of(routing_id) : std::nullopt; }),
      timer_(agent.loop()) {}

Service::~Service() = default;

asio::awaitable<Result<void>> Service::start() {
  auto keys = co_await load_keys();
  if (!keys) co_return keys.error();
  auto changed = [this] {
    if (broker_ && !is_stopping_) broker_->grants_changed(Clock::now());
  };
  auto access = Access::make(agent_, settings_, options_.curve, std::move(changed));
  if (!access) co_return access.error();
  access_ = std::move(*access);
  if (auto ready = co_await access_->start(); !ready) co_return ready.error();
  backbone_ = make_backbone(agent_, settings_);
  kept_ = make_kept_queues(agent_, settings_, backbone_.get());

  Broker::Parts parts{*this,
                      *access_,
                      *kept_,
                      backbone_.get(),
                      [this](const std::string& routing_id) { sessions_.mark(routing_id); },
                      [this](const std::string& routing_id, std::function<void(Time)> done) {
                        if (!done) return sessions_.keep(routing_id, {});
                        sessions_.keep(routing_id, [done = std::move(done)] { done(Clock::now()); });
                      },
                      [this] { arm(); }};
  broker_ = std::make_unique<Broker>(std::move(parts), options_.limits, agent_.log());
  Transport::Spec spec;
  spec.bind = options_.bind;
  spec.curve = std::move(*keys);
  spec.message_bytes_max = options_.limits.body_bytes + headers_room;
  spec.connections_max = options_.limits.clients + strangers_max(options_.limits) + connections_beside;
  spec.handshakes_max = options_.handshakes;
  spec.handshake_timeout = options_.handshake;
  transport_ = std::make_unique<Transport>(agent_, std::move(spec), transport_events());

  KeptQueues::Events kept_events;
  kept_events.offer = [this](const std::string& topic, const KeptMessage& message) {
    if (!is_stopping_) broker_->offered(topic, message, Clock::now());
  };
  kept_events.not_owner = [this](const std::string& topic, const std::string& identity, const std::string& owner) {
    if (!is_stopping_) broker_->not_owner(topic, identity, owner, Clock::now());
  };
  kept_events.is_free = [this](const std::string& topic) {
    if (!is_stopping_) broker_->queue_is_free(topic, Clock::now());
  };
  if (auto ready = co_await kept_->start(std::move(kept_events)); !ready) co_return ready.error();
  // Before anybody can connect: who was here before is known then.
  if (auto restored = co_await restore_sessions(); !restored) co_return restored.error();
  // Behind it: brokers say now which of these clients are with them.
  if (backbone_) {
    Backbone::Events events;
    events.message = [this](const std::string& topic, const SharedFrames& message) {
      if (!is_stopping_) broker_->from_backbone(topic, message, Clock::now());
    };
    events.session_elsewhere = [this](const SessionPlace& place) {
      if (!is_stopping_) broker_->session_elsewhere(place, Clock::now());
    };
    events.sessions_here = [this] { return is_stopping_ ? std::vector<SessionPlace>() : broker_->sessions_here(Clock::now()); };
    events.pins_told = [this](const Pins& pins) { access_->take_pins(pins); };
    events.pins_here = [this] { return access_->pins(); };
    access_->share_pins([this](const Pins& pins) {
      if (!is_stopping_) backbone_->tell_pins(pins);
    });
    backbone_->start(std::move(events));
  }
  if (auto bound = transport_->start(); !bound) co_return bound.error();
  started_s_ = static_cast<std::int64_t>(std::time(nullptr));
  agent_.log().info("the MCollective broker listens on {}{}", fmt::join(transport_->endpoints(), ", "),
                    public_key_.empty() ? ", without CURVE" : ", public key " + public_key_);
  co_return Result<void>{};
}

asio::awaitable<Result<std::optional<KeyPair>>> Service::load_keys() {
  using Keys = Result<std::optional<KeyPair>>;
  if (!options_.curve) {
    agent_.log().warning(
        "modules.mcollective.curve is off: whoever reaches the port is let in under any identity, and all can be read on the way");
    co_return Keys(std::optional<KeyPair>());
  }
  auto warning = std::make_shared<std::string>();
  auto load = [warning, secret = options_.private_key, open = options_.public_key] { return load_or_make_pair(secret, open, *warning); };
  auto pair = co_await agent_.blocking(load);
  if (!pair) co_return Keys(pair.error());
  if (!warning->empty()) agent_.log().warning("{}", *warning);
  public_key_ = to_z85(pair->public_key);
  co_return Keys(std::optional<KeyPair>(std::move(*pair)));
}

asio::awaitable<Result<void>> Service::restore_sessions() {
  const auto kept = co_await sessions_.load();
  if (!kept) co_return Error{"the sessions of before cannot be read from the journal: " + kept.error().message, "database"};
  std::size_t restored = 0;
  for (const auto& [routing_id, record] : *kept) {
    const auto done = broker_->restore(routing_id, record, Clock::now());
    if (done) {
      ++restored;
      continue;
    }
    agent_.log().notice("the session of \"{}\" is forgotten: {}", printable(routing_id), done.error().message);
    sessions_.mark(routing_id);
  }
  if (restored > 0)
    agent_.log().info("{} clients of before are expected back, with {} subscriptions", restored, broker_->topics().subscriptions());
  co_return Result<void>{};
}

Transport::Events Service::transport_events() {
  Transport::Events events;
  events.admit = [this](const Peer& peer) { return broker_->admit(peer); };
  events.opened = [this](ConnectionId connection, const Peer& peer) { broker_->opened(connection, peer, Clock::now()); };
  events.message = [this](ConnectionId from, Frames frames) {
    if (!is_stopping_) broker_->message(from, std::move(frames), Clock::now());
  };
  events.closed = [this](ConnectionId connection, const Error& why, Transport::Waiting left) {
    broker_->closed(connection, why, left, Clock::now());
  };
  events.taken = [this](ConnectionId by, std::uint64_t number) {
    if (!is_stopping_) broker_->taken(by, number, Clock::now());
  };
  events.room = [this](ConnectionId of) {
    if (!is_stopping_) broker_->room(of, Clock::now());
  };
  return events;
}

asio::awaitable<void> Service::stop() {
  is_stopping_ = true;
  timer_.cancel();
  sessions_.hurry();
  if (broker_) broker_->stop(Clock::now());
  if (transport_) co_await send_rest();
  transport_.reset();
  if (kept_) co_await kept_->stop();
  if (backbone_) co_await backbone_->stop();
  kept_.reset();
  backbone_.reset();
  if (broker_) co_await sessions_.finish();
  broker_.reset();
  access_.reset();
  // What the timers have posted already ends while this is still there.
  co_await asio::post(agent_.loop(), asio::use_awaitable);
}

asio::awaitable<void> Service::send_rest() {
  co_await transport_->finish();
  const auto lost = broker_->lost_at_stop();
  if (lost.messages > 0)
    agent_.log().warning("the broker stops: {} messages that waited for {} clients are lost", lost.messages, lost.clients);
}

void Service::arm() {
  if (is_stopping_) return;
  const auto next = broker_->next();
  if (!next || (armed_ && *armed_ <= *next)) return;
  armed_ = next;
  timer_.expires_at(*next);
  timer_.async_wait([this](const boost::system::error_code& ended) {
    if (ended || is_stopping_) return;
    armed_.reset();
    broker_->tick(Clock::now());
    arm();
  });
}

}  // namespace gorgone::mcollective
