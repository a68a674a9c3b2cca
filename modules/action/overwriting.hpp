#pragma once
// A file that this daemon may write, in a folder that it may not: no other can be renamed into its place, so it is written over, as
// deployed daemons do always. What it holds is kept meanwhile in a folder of the daemon's own, and put back where that fails or the daemon
// is ended in the middle. Blocks: on a pool thread.
//
// What is kept: a file "overwritten-<16 hex>", locked (flock) while it is needed, which has the number of the file's inode, a space, the
// length of its path, a line break, the path, and the old content. The time of its last change says until when the daemon was writing.
// Until it is whole it has another name, and it ends in ".kept" where the content could not be put back.

#include "attributes.hpp"

#include <string>
#include <vector>

namespace gorgone::action {

/// Whether it may be done (modules.action.overwrite_in_place), and the folder for what is kept.
struct InPlace {
  bool is_allowed = true;
  std::string keep_in;
};

/// An Error says whether the old content is there again, or where it is kept.
Result<void> overwrite(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes,
                       const std::string& keep_in);

struct Recovery {
  bool is_restored = false;
  std::string text;  ///< for the log
};

/// Puts back what a daemon that was ended in the middle has kept in this folder.
std::vector<Recovery> restore_overwritten(const std::string& keep_in);

}  // namespace gorgone::action
