#pragma once
// The packages of deployed daemons that this agent has no module for. Pure, on any thread.

#include <string_view>

namespace gorgone {

/// What does not happen where such a package is listed: "the jobs of cron.d do not run". Empty for any other package.
std::string_view lost_without(std::string_view package);

}  // namespace gorgone
