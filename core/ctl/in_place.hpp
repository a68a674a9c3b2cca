#pragma once
// `gorgonectl in-place STAGED DESTINATION COMMAND…`: runs a command for which new content lies at its destination already, and for nobody
// else (docs/content-sync.md, "A check before the switch"). As root, or as any user where user namespaces are allowed; it asks no daemon.

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the command to `program`. Its callback returns only where the command could not be run, and leaves why in `outcome`, which must
/// outlive `program`.
void add_in_place(CLI::App& program, Result<void>& outcome);

}  // namespace gorgone::ctl
