#pragma once
// `gorgonectl push …` and `gorgonectl rollback …`: content sync by the API of a daemon (docs/content-sync.md).

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the commands to `program`. Their callbacks leave what went wrong in `outcome`, which must outlive `program`.
void add_content(CLI::App& program, Result<void>& outcome);

}  // namespace gorgone::ctl
