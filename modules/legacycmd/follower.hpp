#pragma once
// Watches the journal for what becomes of messages that were accepted, and tells their failures in the log. On the loop.

#include <gorgone/agent.hpp>

#include "outcomes.hpp"
#include "pollers.hpp"
#include "signal.hpp"

namespace gorgone::legacycmd {

class Follower {
 public:
  Follower(Agent& agent, const Pollers& pollers);

  void follow(std::string token, Sent sent);
  /// Tells what was counted when it is due; to its cancellation.
  asio::awaitable<void> run();
  /// Tells the rest at once, and follows nothing more.
  void settle();

 private:
  void heard(const HistoryRow& row);

  Agent& agent_;
  Outcomes outcomes_;
  FailureLog failures_;
  Signal noted_;
  Signal::Clock::time_point dropped_told_{};
  std::shared_ptr<void> watch_;  // only while something is followed
};

}  // namespace gorgone::legacycmd
