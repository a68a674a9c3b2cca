#pragma once
// One command, run with its rows. On the loop.

#include <gorgone/agent.hpp>
#include <gorgone/process.hpp>

#include "commands.hpp"
#include "request_log.hpp"

namespace gorgone::action {

/// Writes the row of the start and the one of the result; true where the command ran to an end, whatever its exit code.
/// All that is referred to outlives the coroutine.
asio::awaitable<bool> execute(Agent& agent, const RequestLog& log, const Command& command, std::size_t max_output);

/// The row of a command that was not run at all, as an execution issue.
void refuse(const RequestLog& log, const Command& command, std::string_view why);

}  // namespace gorgone::action
