#pragma once
// Moves what was unpacked into a folder of its own to its destination. Blocks: on a pool thread.

#include "attributes.hpp"

#include <string>

namespace gorgone::action {

/// An Error where something in `to` stands in the way of what is in `from`: a link or file where a folder is, or a folder where a file
/// is. Nothing is changed.
Result<void> check_way(int from, int to, const std::string& path = {});

/// Each file by a rename, a folder that is new as a whole; links that stand in `to` are not followed. Folders that are there get the
/// owner and group that were asked for, and keep their mode.
Result<void> move_content(int from, int to, const AttributeIds& ids, Notes& notes, const std::string& path = {});

}  // namespace gorgone::action
