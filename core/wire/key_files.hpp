#pragma once
// Making a node's own pair of key files, at the daemon's first start and for gorgonectl. Blocking, any thread.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <string>

namespace gorgone::wire {

/// Draws a key of `bits` bits and writes both files: the private one with mode 0600, the public one with 0640, directories that
/// are missing with 0750. Existing files are replaced, each at once (written beside, then renamed). An error names the file.
GORGONE_API Result<void> generate_key_pair(const std::string& private_file, const std::string& public_file, int bits);

}  // namespace gorgone::wire
