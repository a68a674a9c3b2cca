#pragma once
// Joins the broker's decisions to what performs them: the transport, access, the queues, the backbone, the journal and the clock.
// On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>

#include "broker.hpp"
#include "session_store.hpp"

namespace gorgone::mcollective {

class Service final : private Outlet {
 public:
  Service(Agent& agent, const Settings& settings);
  ~Service() override;

  asio::awaitable<Result<void>> start();
  asio::awaitable<void> stop();

  /// Until start() has come back without an Error there is none of these.
  const Broker* broker() const { return broker_.get(); }
  const Transport* transport() const { return transport_.get(); }
  Access* access() const { return access_.get(); }
  const KeptQueues* kept() const { return kept_.get(); }
  const Backbone* backbone() const { return backbone_.get(); }
  const std::string& public_key() const { return public_key_; }  ///< in Z85; empty without CURVE
  std::int64_t started_s() const { return started_s_; }

 private:
  asio::awaitable<Result<std::optional<KeyPair>>> load_keys();
  asio::awaitable<Result<void>> restore_sessions();
  Transport::Events transport_events();
  asio::awaitable<void> send_rest();
  void arm();

  // Outlet
  std::uint64_t send(ConnectionId to, SharedFrames frames) override { return transport_->send(to, std::move(frames)); }
  void answer(ConnectionId to, SharedFrames frames) override { transport_->answer(to, std::move(frames)); }
  void hold(ConnectionId whom, bool is_held) override { transport_->hold(whom, is_held); }
  Transport::Waiting untaken(ConnectionId of) const override { return transport_->untaken(of); }
  Transport::Waiting waiting(ConnectionId of) const override { return transport_->waiting(of); }
  void confirm(ConnectionId of) override { transport_->confirm(of); }
  void pause(ConnectionId of) override { transport_->pause(of); }
  void resume(ConnectionId of) override { transport_->resume(of); }
  void close(ConnectionId which, const std::string& why, Transport::Closing when) override { transport_->close(which, why, when); }

  Agent& agent_;
  const Settings settings_;
  const BrokerOptions options_;
  std::string public_key_;
  std::int64_t started_s_ = 0;
  std::unique_ptr<Access> access_;
  std::unique_ptr<Backbone> backbone_;
  std::unique_ptr<KeptQueues> kept_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Broker> broker_;
  SessionStore sessions_;
  asio::steady_timer timer_;
  std::optional<Time> armed_;
  bool is_stopping_ = false;
};

}  // namespace gorgone::mcollective
