#pragma once
// `gorgonectl one-step …`: a folder that the daemon may write, but not the folder above it, becomes a link to one that it may exchange as
// a whole (docs/content-sync.md). Run once by root, on the node itself; it asks no daemon.

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the command to `program`. Its callback leaves what went wrong in `outcome`, which must outlive `program`.
void add_one_step(CLI::App& program, Result<void>& outcome);

}  // namespace gorgone::ctl
