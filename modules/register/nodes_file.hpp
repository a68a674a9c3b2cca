#pragma once
// The register file: `nodes:` as deployed daemons read it. Blocking, for the start and a resync.

#include <gorgone/config.hpp>

#include <string>
#include <vector>

namespace gorgone {

/// The file's nodes as REGISTERNODES carries them; those with errors are told in `problems` and left out. An Error is a file
/// that cannot be read at all.
Result<json::array> read_nodes_file(const std::string& file, std::vector<Problem>& problems);

/// The file's schema.
const Schema& nodes_file_schema();

}  // namespace gorgone
