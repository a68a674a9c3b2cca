#pragma once
// `gorgonectl keys …`: what an administrator does with a node's keys. Needs no running daemon.

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the command and its parts to `program`. Their callbacks leave what went wrong in `outcome`, which must outlive `program`.
void add_keys(CLI::App& program, Result<void>& outcome);

}  // namespace gorgone::ctl
