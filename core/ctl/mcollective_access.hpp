#pragma once
// `gorgonectl mcollective ca|sign|revoke|list|trust` (docs/mcollective-access.md).

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the commands below `gorgonectl mcollective`. Their callbacks leave what went wrong in `outcome`, which must outlive `mcollective`.
void add_mcollective_access(CLI::App& mcollective, Result<void>& outcome);

}  // namespace gorgone::ctl
