#pragma once
// Looks after the staging folders of this node: at the start what was interrupted is finished, every hour what nobody came back for is
// removed. On the loop.

#include <gorgone/agent.hpp>

#include "landing.hpp"

namespace gorgone::content {

/// Removes from a destination's staging folder what nobody came back for since `age`. Blocking: on a pool thread.
void remove_stale(const std::string& path, std::chrono::seconds age);

class Keeper {
 public:
  Keeper(Agent& agent, Ground& ground) : agent_(agent), ground_(ground) {}
  /// Until the module stops. A place that hangs holds up the other places' turn, and no push: each finishes itself what it finds.
  asio::awaitable<void> run();

 private:
  asio::awaitable<void> resume_all();
  asio::awaitable<void> every_hour();
  asio::awaitable<std::vector<std::string>> places();

  Agent& agent_;
  Ground& ground_;
};

}  // namespace gorgone::content
