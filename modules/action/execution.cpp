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

void add_outcome(json::object& data, int exit_code, std::string_view output, std::int64_t start, std::int64_t end) {
  auto& result = data["result"].emplace_object();
  result["exit_code"] = exit_code;
  result["stdout"] = output;
  auto& metrics = data["metrics"].emplace_object();
  metrics["start"] = start;
  metrics["end"] = end;
  metrics["duration"] = end - start;
}

/// How many bytes at the end are the beginning of a UTF-8 sequence that was cut.
std::size_t cut_sequence(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) ? back : 0;
  }
  return 0;
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
  auto output = result.end == End::timed_out ? std::string("Command too long to execute (timeout)...")
                                             : output_text(std::move(result.output), result.dropped);
  auto data = describe(command, is_run ? "command has finished successfully" : "command execution issue");
  add_outcome(data, is_run ? result.exit_code : -1, output, start, end);
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

std::string output_text(std::string output, std::size_t dropped) {
  if (dropped > 0) {
    auto cut = cut_sequence(output);
    output.resize(output.size() - cut);
    return to_utf8(output) + fmt::format("\n[output truncated: {} bytes dropped]", dropped + cut);
  }
  if (!output.empty() && output.back() == '\n') output.pop_back();
  return to_utf8(output);
}

}  // namespace gorgone::action
