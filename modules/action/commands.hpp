#pragma once
// What a COMMAND or ACTIONENGINE asks for, read and judged before anything of it is run. No I/O.

#include <gorgone/json.hpp>

#include "whitelist.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace gorgone::action {

struct Command {
  std::string text;
  std::vector<std::string> argv;
  std::chrono::milliseconds timeout;
  bool goes_on_after_error = true;
  json::value metadata;  ///< as it came, null where there is none
};

struct CommandRules {
  const Whitelist& whitelist;
  std::chrono::seconds timeout;  ///< where the command names none
};

/// The commands of a COMMAND's data; the Error is the refusal as deployed daemons word it.
Result<std::vector<Command>> read_commands(const json::value& data, const CommandRules& rules);

/// The one command of an ACTIONENGINE's content.
Result<Command> read_engine_command(const json::value& data, const CommandRules& rules);

/// What a value is called in `expected array, found '…'`: as Perl names references, '' for null and absent.
std::string kind_of(const json::value* value);

}  // namespace gorgone::action
