#pragma once
// Child processes: each in a process group of its own, stdin empty, stderr joined to stdout, ended with its group.

#include <gorgone/export.hpp>
#include <gorgone/json.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone {

class Agent;

struct ProcessSpec {
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH; {"/bin/sh", "-c", "…"} for a shell
  std::chrono::milliseconds timeout{30000};
  std::size_t output_limit = 1 << 20;  ///< bytes kept; the rest is read and thrown away
};

struct ProcessResult {
  enum class End { exited, signalled, timed_out, not_started };
  End end = End::not_started;
  int exit_code = -1;       ///< of the process; 128 + signal where one ended it, 127/126 where it could not start
  std::string output;       ///< as written, stderr among it; why where it could not start
  std::size_t dropped = 0;  ///< bytes of output beyond the limit
};

/// Runs a process to its end. At the timeout its group gets SIGTERM and, half a second later, SIGKILL; the same where the
/// coroutine is cancelled or the agent stops. A background child that keeps the output open after the process has
/// ended is not waited for longer than 200 ms.
GORGONE_API boost::asio::awaitable<ProcessResult> run_process(Agent& agent, ProcessSpec spec);

/// What the process has written, as it goes into a row: UTF-8, without the final line break, with a note where some was dropped. Of one
/// that took too long that is said in place of it.
GORGONE_API std::string output_text(ProcessResult result);
/// The members "result" and "metrics" of a command's row; from when to when in seconds.
GORGONE_API void add_outcome(json::object& data, int exit_code, std::string_view output, std::int64_t start, std::int64_t end);

}  // namespace gorgone
