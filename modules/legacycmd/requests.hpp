#pragma once
// What comes as a message: CENTREONCOMMAND, STARTWORKER, ADDIMPORTTASKWITHPARENT. On the loop.

#include <gorgone/database.hpp>

#include "lanes.hpp"
#include "worker.hpp"

namespace gorgone::legacycmd {

class Requests {
 public:
  /// No commands are taken while more than `queued_bytes_max` wait in the lanes.
  Requests(Agent& agent, Database& database, Lanes& lanes, Worker& worker, std::size_t queued_bytes_max)
      : agent_(agent), database_(database), lanes_(lanes), worker_(worker), queued_bytes_max_(queued_bytes_max) {}

  /// A list of {command, target, param}: the same as lines of the spool. Ends when they are in the outbox, or refused.
  asio::awaitable<void> commands(Message message);
  asio::awaitable<void> start_worker(Message message);
  /// On a remote whose data has come: a task for the worker, the worker, and broker's reload.
  asio::awaitable<void> import_task(Message message);

 private:
  /// Whether all commands of a message have ended.
  struct Over;
  void give(const std::string& token, std::vector<Line> lines, std::shared_ptr<Over> all);
  asio::awaitable<Result<std::uint64_t>> insert(Message message, std::int64_t parent);
  void row(const std::string& token, int code, std::string_view message) const;

  Agent& agent_;
  Database& database_;
  Lanes& lanes_;
  Worker& worker_;
  std::size_t queued_bytes_max_;
};

}  // namespace gorgone::legacycmd
