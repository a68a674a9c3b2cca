#pragma once
// `gorgonectl trust …`: accepts a server's new key. Needs no restart of the daemon.

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the command to `program`. Its callback leaves what went wrong in `outcome`, which must outlive `program`.
void add_trust(CLI::App& program, Result<void>& outcome);

}  // namespace gorgone::ctl
