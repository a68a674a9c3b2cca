#pragma once
// Unpacking an archive over a folder, trusting nothing in it. Blocks: on a pool thread.

#include "attributes.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace gorgone::action {

/// Unpacks a tar file, compressed by gzip or not, over `folder`, which is made where it is missing. The archive is read
/// twice: first every member is judged, and where one is refused (an absolute path, "..", a link that leads out of the
/// folder, a device) nothing is written at all. Then all is unpacked into a folder of its own, ".gorgone-unpacking-…" inside of
/// `folder`, and when that has gone well each file is renamed into its place. Links that stand in the folder already are
/// not followed. Owner and group are those asked for, else the archive's where we are root, for what is new; the mode asked for
/// goes to files only. An archive that would take more than `bytes_max` on the disk, or more than is free there, is
/// refused, however small it is packed. Gives the number of members.
Result<std::size_t> unpack(const std::string& archive, const std::string& folder, const AttributeIds& ids, Notes& notes,
                           std::uint64_t bytes_max);

}  // namespace gorgone::action
