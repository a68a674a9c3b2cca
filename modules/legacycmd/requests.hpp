#pragma once
// What comes as a message: CENTREONCOMMAND, STARTWORKER, ADDIMPORTTASKWITHPARENT. On the loop.

#include <gorgone/database.hpp>

#include "lanes.hpp"
#include "worker.hpp"

namespace gorgone::legacycmd {

class Requests {
 public:
  Requests(Agent& agent, Database& database, Lanes& lanes, Worker& worker)
      : agent_(agent), database_(database), lanes_(lanes), worker_(worker) {}

  /// A list of {command, target, param}: the same as lines of the spool.
  asio::awaitable<void> commands(Message message);
  asio::awaitable<void> start_worker(Message message);
  /// On a remote whose data has come: a task for the worker, the worker, and broker's reload.
  asio::awaitable<void> import_task(Message message);

 private:
  void row(const std::string& token, int code, std::string_view message) const;

  Agent& agent_;
  Database& database_;
  Lanes& lanes_;
  Worker& worker_;
};

}  // namespace gorgone::legacycmd
