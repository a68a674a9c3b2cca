#pragma once
// What one module sees of the daemon, and what the daemon keeps of one module's running work. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <list>
#include <memory>
#include <set>

#include "core/net/key_ring.hpp"
#include "core/parents.hpp"
#include "core/router.hpp"

namespace gorgone::net {
class Listener;
}

namespace gorgone {

class LogAnswers;
class ModuleHost;
struct AgentConfig;

/// The daemon's parts that modules are given; all outlive the modules.
struct Services {
  asio::io_context& loop;
  asio::thread_pool& pool;
  asio::thread_pool& crypto;  ///< RSA only: no slow disk holds up a handshake
  Journal& journal;
  LogAnswers& log_answers;
  Router& router;
  Parents& parents;
  net::Listener& listener;
  std::shared_ptr<const net::KeyRing> keys;
  const AgentConfig& config;
  std::string hostname;
};

class ModuleAgent final : public Agent {
 public:
  ModuleAgent(const Services& services, ModuleHost& host, std::string name);

  asio::io_context& loop() override { return services_.loop; }
  const Log& log() const override { return log_; }
  Journal& journal() override { return services_.journal; }
  const std::string& node_id() const override { return services_.router.own_id(); }
  const std::string& hostname() const override { return services_.hostname; }
  std::string secret_for(const std::string& purpose) const override { return services_.keys->private_key.secret_for(purpose); }
  void submit(Message message, Reply reply) override;
  void spawn(asio::awaitable<void> work) override;
  void on_pool(std::function<void()> work) override;
  asio::awaitable<Result<std::string>> log_text(HistoryFilter filter, WriteRows write) override;
  std::optional<Endpoint> endpoint(const std::string& method, const std::string& path) const override;
  std::vector<std::string> methods(const std::string& path) const override;
  Gateway* gateway() const override { return services_.router.gateway(); }
  void set_gateway(Gateway* gateway) override { services_.router.set_gateway(gateway); }
  Result<LinkFactory*> link_factory(const std::string& type) override;
  Result<std::unique_ptr<Link>> dial(const DialSpec& spec, LinkOwner& owner) override;
  Result<std::unique_ptr<Link>> client_link(const std::string& routing_id, LinkOwner& owner) override;
  std::shared_ptr<void> add_parent(std::function<void(const Message&)> tell) override;
  void tell_parents(const Message& message) override;
  asio::awaitable<void> begin(const Message& message) override;
  const ConfigValue& gorgone_config() const override;
  const ConfigValue& centreon_config() const override;

  /// See begin(): whether the message with that delivery id was, and that it has ended.
  bool has_begun(const std::string& delivery) const { return begun_.contains(delivery); }
  void end(const std::string& delivery);
  bool is_stopping() const { return services_.router.is_stopping(); }

  /// Cancels what was spawned and waits until it has ended; false where it has not within `limit`.
  asio::awaitable<bool> finish(std::chrono::milliseconds limit);

 private:
  Services services_;
  ModuleHost& host_;
  Log log_;
  std::list<asio::cancellation_signal> running_;
  std::set<std::string> begun_;
  asio::steady_timer idle_;  // ends when nothing runs
};

}  // namespace gorgone
