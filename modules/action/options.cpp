#include "options.hpp"

#include <fmt/format.h>

namespace gorgone::action {
namespace {

std::size_t size_of(const Settings& settings, std::string_view key) { return static_cast<std::size_t>(settings.integer(key)); }

}  // namespace

Schema schema() {
  using enum OptionType;
  return {
      Option{"command_timeout", integer, "30", "how long a command may run that names no timeout of its own"}.range(1, 86400).in("seconds"),
      Option{"whitelist_cmds", boolean, "false", "run only commands that one of allowed_cmds is found in"},
      Option{"allowed_cmds", texts, "", "Perl-compatible expressions, searched anywhere in the command; anchor them with ^ and $"},
      Option{"paranoid_plugins", boolean, "false", "do not run a command whose plugins could not be installed"},
      Option{"max_concurrent_commands", integer, "20", "how many COMMAND requests run at the same time; the others wait"}.range(1, 1000),
      Option{"max_queued_commands", integer, "10000", "how many requests may wait; beyond it they are refused as busy"}.range(1, 1000000),
      Option{"max_queued_bytes", integer, "67108864",
             "how much the requests that wait may hold; beyond it they are refused as busy, but for one that waits alone"}
          .range(1048576, 17179869184)
          .in("bytes"),
      Option{"max_concurrent_engine", integer, "3", "how many ACTIONENGINE requests run at the same time"}.range(1, 100),
      Option{"max_output", integer, "1048576", "how much of a command's output is kept; the rest is dropped"}
          .range(1024, 67108864)
          .in("bytes"),
      Option{"max_queued_copy", integer, "268435456",
             "how much of received files may wait for the disk; beyond it a copy is refused as busy"}
          .range(1048576, 17179869184)
          .in("bytes"),
      Option{"max_unpacked", integer, "4294967296",
             "how much a received archive may take on the disk when it is unpacked; a larger one is refused"}
          .range(1048576, 1099511627776)
          .in("bytes"),
      Option{"copy_idle_timeout", integer, "3600", "when a copy is given up of which nothing more has come"}
          .range(10, 604800)
          .in("seconds"),
      Option{
          "overwrite_in_place", boolean, "true",
          "write over a file that the daemon may write where it may not write to the file's folder, as deployed daemons do: what reads it "
          "at that moment, or after a crash until the daemon is back, may find half of it. With false such a copy is refused"},
      Option{"tar_insecure_extra_mode", boolean, "false",
             "known from deployed configurations, without effect: members that lead out of the destination are always refused"}
          .ignored(),
  };
}

Result<Options> read_options(const Settings& settings) {
  Options options;
  options.command_timeout = std::chrono::seconds(settings.integer("command_timeout"));
  options.is_paranoid = settings.boolean("paranoid_plugins");
  options.concurrent_commands = size_of(settings, "max_concurrent_commands");
  options.concurrent_engine = size_of(settings, "max_concurrent_engine");
  options.queued_commands = size_of(settings, "max_queued_commands");
  options.queued_bytes = size_of(settings, "max_queued_bytes");
  options.max_output = size_of(settings, "max_output");
  options.copy_queue_bytes = size_of(settings, "max_queued_copy");
  options.max_unpacked = static_cast<std::uint64_t>(settings.integer("max_unpacked"));
  options.copy_idle = std::chrono::seconds(settings.integer("copy_idle_timeout"));
  options.overwrites_in_place = settings.boolean("overwrite_in_place");
  if (settings.boolean("whitelist_cmds")) {
    auto whitelist = Whitelist::of(settings.texts("allowed_cmds"));
    if (!whitelist) return whitelist.error();
    options.whitelist = std::move(*whitelist);
  }
  return options;
}

std::vector<Problem> check_options(const Settings& settings) {
  std::vector<Problem> problems;
  auto where = settings.where("allowed_cmds").text();
  // One at a time: all that is wrong is told, not the first only.
  for (const auto& expression : settings.texts("allowed_cmds")) {
    auto whitelist = Whitelist::of({expression});
    if (whitelist) continue;
    problems.push_back({Problem::Severity::error, fmt::format("modules.action.allowed_cmds: {} ({})", whitelist.error().message, where)});
  }
  if (settings.boolean("whitelist_cmds") && settings.texts("allowed_cmds").empty()) {
    problems.push_back({Problem::Severity::warning,
                        "modules.action.allowed_cmds: is empty while whitelist_cmds is true, so every command will be refused; expected a "
                        "list of Perl-compatible expressions"});
  }
  return problems;
}

}  // namespace gorgone::action
