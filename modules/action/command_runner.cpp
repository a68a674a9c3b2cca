#include "command_runner.hpp"

#include "execution.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

namespace gorgone::action {
namespace {

const json::value no_data;

/// A request that the module's end cuts off still gets its last row; one that is run at the next start, for it has not begun, none.
template <class Work>
asio::awaitable<void> told_when_cut_off(RequestLog log, std::string_view what, std::shared_ptr<const CommandRunner::Ticket> ticket,
                                        Work work) {
  try {
    co_await std::move(work);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() != asio::error::operation_aborted) throw;
    if (!ticket->message.delivery.empty() && !ticket->has_begun) throw;
    log.row(code::failed, fmt::format("{} has been interrupted: the action module stops", what));
  }
}

}  // namespace

CommandRunner::CommandRunner(Agent& agent, const Options& options)
    : agent_(agent),
      options_(options),
      packages_(agent),
      commands_(agent.loop(), options.concurrent_commands, options.queued_commands, options.queued_bytes),
      engine_(agent.loop(), options.concurrent_engine, options.queued_commands, options.queued_bytes) {}

std::shared_ptr<CommandRunner::Ticket> CommandRunner::ticket_of(const Message& message) {
  auto ticket = std::make_shared<Ticket>();
  ticket->message.token = message.token;
  ticket->message.delivery = message.delivery;
  ticket->bytes = message.data.text().size();
  return ticket;
}

asio::awaitable<void> CommandRunner::begin(Ticket& ticket) {
  ticket.has_begun = true;
  co_await agent_.begin(ticket.message);
}

asio::awaitable<void> CommandRunner::run_commands(Message message) {
  auto data = message.data.json();
  RequestLog log(agent_.journal(), message.token, data ? **data : no_data);
  if (!data) {
    log.row(code::failed, "cannot decode json");
    co_return;
  }
  CommandRules rules{options_.whitelist, options_.command_timeout};
  auto commands = read_commands(**data, rules);
  if (!commands) {
    // The reason may quote the command, which may hold a password: it is in the history only.
    agent_.log().warning("COMMAND refused, see the history: token={}", printable(message.token));
    log.row(code::failed, commands.error().message);
    co_return;
  }
  auto ticket = ticket_of(message);
  if (is_busy(commands_, *ticket, log)) co_return;
  json::value request(*member(**data, "content"));
  auto work = run_in_turn(log, ticket, std::move(*commands), std::move(request));
  co_await told_when_cut_off(log, "commands processing", ticket, std::move(work));
}

asio::awaitable<void> CommandRunner::run_in_turn(RequestLog log, std::shared_ptr<Ticket> ticket, std::vector<Command> commands,
                                                 json::value request) {
  auto pass = co_await commands_.enter(ticket->bytes);
  co_await begin(*ticket);
  json::object begun;
  begun["message"] = "commands processing has started";
  begun["request_content"] = std::move(request);
  log.row(code::begun, std::move(begun));

  bool has_errors = false;
  for (const auto& command : commands) {
    auto verdict = co_await provide_packages(log, command);
    auto is_run = false;
    if (verdict == Verdict::run) is_run = co_await execute(agent_, log, command, options_.max_output);
    if (is_run) continue;
    has_errors = true;
    if (command.goes_on_after_error) continue;
    log.row(code::failed, "commands processing has been interrupted because of error");
    co_return;
  }
  if (has_errors) {
    log.row(code::failed, "commands processing has finished with errors");
  } else {
    log.row(code::finished, "commands processing has finished successfully");
  }
}

asio::awaitable<void> CommandRunner::run_engine(Message message) {
  auto data = message.data.json();
  RequestLog log(agent_.journal(), message.token, data ? **data : no_data);
  if (!data) {
    log.row(code::failed, "cannot decode json");
    co_return;
  }
  CommandRules rules{options_.whitelist, options_.command_timeout};
  auto command = read_engine_command(**data, rules);
  if (!command) {
    agent_.log().warning("ACTIONENGINE refused, see the history: token={}", printable(message.token));
    log.row(code::failed, command.error().message);
    co_return;
  }
  auto ticket = ticket_of(message);
  if (is_busy(engine_, *ticket, log)) co_return;
  auto plugins = text_of(member(*member(**data, "content"), "plugins")).value_or("");
  auto work = run_after_plugins(log, ticket, std::move(*command), std::move(plugins));
  co_await told_when_cut_off(log, "action engine", ticket, std::move(work));
}

asio::awaitable<void> CommandRunner::run_after_plugins(RequestLog log, std::shared_ptr<Ticket> ticket, Command command,
                                                       std::string plugins) {
  auto pass = co_await engine_.enter(ticket->bytes);
  co_await begin(*ticket);
  log.row(code::begun, "action engine has started");
  auto verdict = Verdict::run;
  if (!plugins.empty()) {
    auto provided = co_await packages_.provide_file(std::move(plugins));
    verdict = judge(log, command, provided);
  }
  auto is_run = false;
  if (verdict == Verdict::run) is_run = co_await execute(agent_, log, command, options_.max_output);
  if (is_run) {
    log.row(code::finished, "action engine has finished successfully");
  } else {
    log.row(code::failed, "action engine has finished with errors");
  }
}

asio::awaitable<CommandRunner::Verdict> CommandRunner::provide_packages(const RequestLog& log, const Command& command) {
  const auto* wanted = member(command.metadata, "pkg_install");
  if (wanted == nullptr || wanted->is_null()) co_return Verdict::run;
  auto packages = read_packages(*wanted);
  Result<void> provided;
  if (packages) {
    provided = co_await packages_.provide(std::move(*packages));
  } else {
    provided = Error{"pkg_install: " + packages.error().message};
  }
  co_return judge(log, command, provided);
}

CommandRunner::Verdict CommandRunner::judge(const RequestLog& log, const Command& command, const Result<void>& provided) const {
  if (provided) return Verdict::run;
  agent_.log().warning("plugins are not as wanted: {}", printable(provided.error().message, 500));
  if (options_.is_paranoid) {
    refuse(log, command, provided.error().message);
    return Verdict::skip;
  }
  log.row(code::going_on, provided.error().message);
  return Verdict::run;
}

bool CommandRunner::is_busy(const Gate& gate, const Ticket& ticket, const RequestLog& log) const {
  if (!gate.is_full(ticket.bytes)) return false;
  if (gate.waiting() >= options_.queued_commands)
    log.row(code::failed, fmt::format("busy: {} requests are waiting already (modules.action.max_queued_commands)", gate.waiting()));
  else
    log.row(code::failed,
            fmt::format("busy: requests of {} bytes are waiting already (modules.action.max_queued_bytes)", gate.waiting_bytes()));
  return true;
}

}  // namespace gorgone::action
