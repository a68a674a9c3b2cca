#pragma once
// Looks after the staging folders of this node: at the start what was interrupted is finished, every hour what nobody came back for is
// removed. On the loop.

#include <gorgone/agent.hpp>

#include "landing.hpp"

namespace gorgone::content {

class Keeper {
 public:
  Keeper(Agent& agent, Ground& ground) : agent_(agent), ground_(ground) {}
  /// Finishes interrupted switches; nothing else may touch a destination before.
  asio::awaitable<void> resume_all();
  /// Named by its caller, see Agent::spawn.
  asio::awaitable<void> every_hour();

 private:
  asio::awaitable<std::vector<std::string>> places();

  Agent& agent_;
  Ground& ground_;
};

}  // namespace gorgone::content
