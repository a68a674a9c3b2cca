#pragma once
// The register file: `nodes:` as deployed daemons read it. Blocking, for the start and a resync.

#include <gorgone/config.hpp>

#include <set>
#include <string>
#include <vector>

namespace gorgone {

struct NodesFile {
  json::array nodes;              ///< as REGISTERNODES carries them
  std::set<std::string> unsound;  ///< ids of those with errors, which are told and left out
};

/// An Error is a file that cannot be read at all, or has no list of nodes.
Result<NodesFile> read_nodes_file(const std::string& file, std::vector<Problem>& problems);

/// The file's schema.
const Schema& nodes_file_schema();

}  // namespace gorgone
