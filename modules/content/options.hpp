#pragma once
// The module's options, read and checked. Made once, at the module's start.

#include <gorgone/agent.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "manifest.hpp"

namespace gorgone::content {

/// What must pass before content of that folder, or of one below, is put in place, where the push brings no check of its own.
struct Check {
  std::string destination, command;
};

struct Options {
  std::string state_dir;
  std::size_t index_trees = 200;
  std::vector<std::string> allowed;  ///< folders in which destinations may lie; empty: anywhere
  std::vector<Check> checks;
  ManifestLimits limits;
  bool keeps_previous = true;
  bool links_unchanged = true;
  std::chrono::seconds silence{3600};  ///< a push whose node does not answer for so long has failed
  std::chrono::seconds staged{86400};  ///< what is staged and not finished is kept for so long
  std::chrono::seconds check{300};     ///< for a check_command
};

Schema schema();
Options read_options(const Settings& settings, const ConfigValue& gorgone);
std::vector<Problem> check_options(const Settings& settings);

/// The folders, and where those of them lead that are links. Blocking: on a pool thread.
std::vector<std::string> with_links_resolved(std::vector<std::string> folders);
/// The command of the nearest listed folder in which a resolved path lies; empty where there is none. Blocking: on a pool thread.
std::string check_for(const std::vector<Check>& checks, const std::string& path);
/// True where a resolved path is one of the folders, or lies in one.
bool is_allowed(const std::vector<std::string>& folders, const std::string& path);

}  // namespace gorgone::content
