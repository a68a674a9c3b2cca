#pragma once
// COMMAND and ACTIONENGINE: from the request to its last row. Lives on the loop.

#include <gorgone/agent.hpp>

#include "commands.hpp"
#include "gate.hpp"
#include "options.hpp"
#include "package_keeper.hpp"
#include "request_log.hpp"

namespace gorgone::action {

class CommandRunner {
 public:
  /// `options` outlive it.
  CommandRunner(Agent& agent, const Options& options);

  asio::awaitable<void> run_commands(Message message);
  asio::awaitable<void> run_engine(Message message);

  /// What a request under way remembers of its message.
  struct Ticket {
    Message message;        // without its data
    std::size_t bytes = 0;  // of those
    bool has_begun = false;
  };

 private:
  /// What went before one command can be run.
  enum class Verdict { run, skip };

  asio::awaitable<void> run_in_turn(RequestLog log, std::shared_ptr<Ticket> ticket, std::vector<Command> commands, json::value request);
  asio::awaitable<void> run_after_plugins(RequestLog log, std::shared_ptr<Ticket> ticket, Command command, std::string plugins);
  static std::shared_ptr<Ticket> ticket_of(const Message& message);
  asio::awaitable<void> begin(Ticket& ticket);
  asio::awaitable<Verdict> provide_packages(const RequestLog& log, const Command& command);
  Verdict judge(const RequestLog& log, const Command& command, const Result<void>& provided) const;
  bool is_busy(const Gate& gate, const Ticket& ticket, const RequestLog& log) const;

  Agent& agent_;
  const Options& options_;
  PackageKeeper packages_;
  Gate commands_, engine_;
};

}  // namespace gorgone::action
