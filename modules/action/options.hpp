#pragma once
// The module's part of the configuration, read once at its start.

#include <gorgone/config.hpp>

#include "whitelist.hpp"

#include <chrono>
#include <cstdint>

namespace gorgone::action {

struct Options {
  std::chrono::seconds command_timeout{30};
  bool is_paranoid = false;  ///< paranoid_plugins
  std::size_t concurrent_commands = 20;
  std::size_t concurrent_engine = 3;
  std::size_t queued_commands = 10000;
  std::size_t queued_bytes = 64 << 20;
  std::size_t max_output = 1 << 20;
  std::size_t copy_queue_bytes = 256 << 20;
  std::uint64_t max_unpacked = std::uint64_t{4} << 30;
  std::chrono::seconds copy_idle{3600};
  bool overwrites_in_place = true;
  Whitelist whitelist;
};

Schema schema();
/// An Error where an expression of allowed_cmds does not compile.
Result<Options> read_options(const Settings& settings);
/// What the schema cannot say.
std::vector<Problem> check_options(const Settings& settings);

}  // namespace gorgone::action
