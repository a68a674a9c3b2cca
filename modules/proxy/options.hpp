#pragma once
// What the proxy's configuration says, but for its listener of WebSockets (wss_options.hpp).

#include <gorgone/config.hpp>

#include <cstdint>
#include <vector>

#include "copy_jobs.hpp"
#include "node.hpp"

namespace gorgone::proxy {

constexpr std::int64_t outbox_ttl_max_s = 604800;

/// All options, those of the listener too.
std::vector<Option> schema();
NodeLimits read_node_limits(const Settings& settings);
CopyJobs::Limits read_copy_limits(const Settings& settings);

}  // namespace gorgone::proxy
