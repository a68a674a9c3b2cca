#pragma once
// What an ENGINECOMMAND asks for, read and judged before anything is written. No I/O.

#include <gorgone/json.hpp>

#include <string>
#include <vector>

namespace gorgone::engine {

struct Request {
  std::string command_file;
  std::vector<std::string> commands;  ///< as they came, for the history
  std::vector<std::string> lines;     ///< each with its line break; a command may hold several
  std::vector<std::size_t> ends;      ///< for each command the number of lines up to its end
  std::size_t bytes = 0;              ///< of all lines
};

/// The Error is a refusal, as deployed daemons word it where they know it. Empty lines are left out.
Result<Request> read_request(const json::value& data, const std::string& standard_file);

/// Lines from `first` on that are written at once: as many as PIPE_BUF holds, which the system never mixes with what others write; a
/// single one where that is longer. The number of the first line behind them.
std::size_t batch_end(const std::vector<std::string>& lines, std::size_t first);

}  // namespace gorgone::engine
