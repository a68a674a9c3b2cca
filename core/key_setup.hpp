#pragma once
// The agent's own keys and whom it trusts, from the configuration. Blocking; used at the start and by --check.

#include <memory>
#include <vector>

#include "core/config/agent_config.hpp"
#include "core/net/key_ring.hpp"

namespace gorgone {

/// Reads the key pair; where both files are missing and `make` is set, makes them. Warnings go to `problems`; an Error names
/// option and file.
Result<std::shared_ptr<const net::KeyRing>> load_key_ring(const Settings& core, bool make, std::vector<Problem>& problems);

}  // namespace gorgone
