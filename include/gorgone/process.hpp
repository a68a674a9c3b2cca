#pragma once
// Child processes: each in a process group of its own, stdin empty, stderr joined to stdout, ended with its group.

#include <gorgone/export.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <string>
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

}  // namespace gorgone
