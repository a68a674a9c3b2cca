#pragma once
// What a remote copy does on the disk, but for archives (archive.hpp). Everything blocks: on a pool thread. Nothing is
// followed out of the folder it was given.

#include "attributes.hpp"
#include "overwriting.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace gorgone::action {

/// Where a copy's chunks are gathered: "<cache_dir>/copy_<token>"; a token that is not fit for a file name is hashed.
std::string partial_path(const std::string& cache_dir, const std::string& token);

/// The same of any other try of the same copy (docs/protocol.md, "Remote copy"): nothing, where `token` is not that of a try.
std::string tries_prefix(const std::string& token);

/// Removes the files of other tries of a copy from the cache folder.
void remove_other_tries(const std::string& partial, const std::string& prefix);

/// An Error where less than `bytes` are free for a file or folder at `path`, whether it is there yet or not.
Result<void> check_room(const std::string& path, std::uint64_t bytes);

/// Writes all that can be read from `in` to `out`, and syncs that; the names are for the Error.
Result<void> copy_content(int in, int out, const std::string& source, const std::string& name);

/// Puts `source`, or a copy of it, in the place of `destination`: brought beside it, synced, renamed. A file that was there
/// passes on its owner, group and mode where no others are asked for. Where its folder may not be written, `in_place` decides.
Result<void> install_file(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes,
                          const InPlace& in_place);

/// Removes files and folders in an open folder whose names begin so and which nobody has locked (flock): an earlier run of the daemon
/// left them.
void remove_leftovers(int folder, std::string_view begin);

/// Makes a folder, one level; no error where it is there.
Result<void> make_folder(const std::string& path);

/// Removes what an earlier run of the daemon left in a cache folder: files "copy_<128 hex>" and those of tries, untouched for `age`.
void remove_stale(const std::string& cache_dir, std::chrono::seconds age);

}  // namespace gorgone::action
