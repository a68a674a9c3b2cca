#pragma once
// The broker's life in the module: it is made and started and, while the journal cannot be read, made and started again. A broker that went
// on without what lies there would let other keys in under pinned names, and give queues to others than their owners. On the loop.

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <string>

#include "service.hpp"

namespace gorgone::mcollective {

class PatientService {
 public:
  PatientService(Agent& agent, Settings settings);

  /// Comes back at once where it has to wait for the journal; an Error: it cannot run.
  asio::awaitable<Result<void>> start();
  asio::awaitable<void> stop();

  /// nullptr while it does not run.
  Service* running() const { return is_running_ ? service_.get() : nullptr; }
  const std::string& why_not() const { return why_not_; }

 private:
  asio::awaitable<Result<void>> attempt();
  asio::awaitable<void> try_again();

  Agent& agent_;
  const Settings settings_;
  std::unique_ptr<Service> service_;
  asio::steady_timer timer_;
  std::string why_not_;
  bool is_running_ = false, is_trying_ = false, is_stopping_ = false;
};

}  // namespace gorgone::mcollective
