#include "execution.hpp"

#include <chrono>
#include <ctime>

namespace gorgone::action {
namespace {

json::object describe(const Command& command, std::string_view message) {
  json::object data;
  data["message"] = message;
  data["command"] = command.text;
  data["metadata"] = command.metadata;
  return data;
}

}  // namespace

asio::awaitable<bool> execute(Agent& agent, const RequestLog& log, const Command& command, std::size_t max_output) {
  log.row(code::begun, describe(command, "command has started"));
  auto start = static_cast<std::int64_t>(std::time(nullptr));
  ProcessSpec spec;
  spec.argv = command.argv;
  spec.timeout = command.timeout;
  spec.output_limit = max_output;
  auto result = co_await run_process(agent, std::move(spec));
  auto end = std::max(start, static_cast<std::int64_t>(std::time(nullptr)));

  // A program that is not found is a result, as it is through a shell; one that the system could not start is not.
  using End = ProcessResult::End;
  auto is_run = result.end != End::timed_out && (result.end != End::not_started || result.exit_code == 127);
  auto data = describe(command, is_run ? "command has finished successfully" : "command execution issue");
  const auto exit_code = is_run ? result.exit_code : -1;
  add_outcome(data, exit_code, output_text(std::move(result)), start, end);
  if (is_run) {
    log.result(std::move(data));
  } else {
    log.row(code::failed, std::move(data));
  }
  co_return is_run;
}

void refuse(const RequestLog& log, const Command& command, std::string_view why) {
  auto data = describe(command, "command execution issue");
  auto now = static_cast<std::int64_t>(std::time(nullptr));
  add_outcome(data, -1, why, now, now);
  log.row(code::failed, std::move(data));
}

}  // namespace gorgone::action
