#pragma once
// The life of the daemon: everything is made here, started, run on one thread, and ended in the opposite order.

#include <gorgone/export.hpp>

#include <string>
#include <vector>

namespace gorgone {

struct DaemonOptions {
  std::string config = "/etc/centreon-gorgone/config.yaml";
  std::string modules_dir;  ///< empty: gorgonecore.modules_dir, or beside the program
};

/// Runs until SIGTERM or SIGINT; the exit code.
GORGONE_API int run_daemon(const DaemonOptions& options);

/// Prints all that is wrong with the configuration, starts nothing; 0 where the daemon would start with all its modules.
GORGONE_API int check_configuration(const DaemonOptions& options);

/// Writes a Markdown page for each module and for gorgonecore into `directory`.
GORGONE_API int document_modules(const DaemonOptions& options, const std::string& directory);

}  // namespace gorgone
