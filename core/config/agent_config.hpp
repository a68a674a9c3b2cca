#pragma once
// The whole configuration of the daemon: its own part checked, its modules listed. Made on the loop at the start and at a
// reload, unchanged after that.

#include <gorgone/config.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace gorgone {

struct AgentConfig {
  struct ModuleEntry {
    std::string name;
    std::string package;  ///< as written, may be empty
    std::string library;  ///< name of the shared object without ".so", or a path; may be empty where it is not enabled
    bool enabled = true;
    ConfigValue values;  ///< the whole entry; check it with module_keys() as `also_known`
    Where where;
  };

  ConfigValue tree;                  ///< the file with its includes
  Settings core;                     ///< gorgonecore, read through core_schema()
  std::vector<ModuleEntry> modules;  ///< in the order of the files; of each module one is enabled at most, the first

  /// The maps under `configuration`, nullptr where they are missing. They live as long as this.
  const ConfigValue* gorgone() const;
  const ConfigValue* centreon() const;
};

/// Loads and checks all but the modules' own options, which only the modules know. Entries of `modules` that cannot be used are
/// errors in `problems` and left out. An Error is a file that cannot be read, parsed or taken for a configuration.
GORGONE_API Result<AgentConfig> load_agent_config(const std::string& file, std::vector<Problem>& problems);

/// The module list of a configuration that is loaded already, as a part of load_agent_config().
std::vector<AgentConfig::ModuleEntry> module_entries(const ConfigValue& modules, std::vector<Problem>& problems);

/// The keys of a module's entry that belong to the host: name, package, library, enable.
const std::vector<std::string>& module_keys();

/// "gorgone::modules::core::action::hooks" gives "action", "gorgone::modules::centreon::mbi::etl::hooks" gives "mbi-etl"; empty where the
/// package is of another form.
std::string library_of_package(std::string_view package);

/// The database's file, from gorgone_db_name: "dbname=/path" as deployed, or a plain path.
std::string database_path(const Settings& core);

}  // namespace gorgone
