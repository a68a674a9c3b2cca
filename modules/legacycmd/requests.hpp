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

  /// A list of {command, target, param}: the same as lines of the spool. Ends when they are in the outbox, or refused; until then it is
  /// in the inbox, and comes again at the daemon's next start.
  asio::awaitable<void> commands(Message message);
  asio::awaitable<void> start_worker(Message message);
  /// On a remote whose data has come: a task for the worker, the worker, and broker's reload.
  asio::awaitable<void> import_task(Message message);

 private:
  /// Whether all commands of a message have ended.
  struct Over;
  asio::awaitable<bool> has_begun(std::string token);
  void keep(Message message);
  void give(const Message& message, std::vector<Line> lines, std::shared_ptr<Over> all);
  asio::awaitable<Result<std::uint64_t>> insert(Message message, std::int64_t parent);
  void row(const std::string& token, int code, std::string_view message) const;

  Agent& agent_;
  Database& database_;
  Lanes& lanes_;
  Worker& worker_;
  std::size_t queued_bytes_max_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::legacycmd
