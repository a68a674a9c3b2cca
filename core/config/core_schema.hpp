#pragma once
// What may stand under gorgonecore. The deployed daemon's keys with its defaults, and ours. On any thread.

#include <gorgone/config.hpp>

namespace gorgone {

/// Made once, lives as long as the process.
const Schema& core_schema();

}  // namespace gorgone
