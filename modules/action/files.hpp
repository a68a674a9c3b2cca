#pragma once
// What a remote copy does on the disk, but for archives (archive.hpp). Everything blocks: on a pool thread. Nothing is
// followed out of the folder it was given.

#include "attributes.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace gorgone::action {

/// The file that gathers a copy's chunks: "<cache_dir>/copy_<token>"; a token that is not fit for a file name is hashed.
std::string partial_path(const std::string& cache_dir, const std::string& token);

/// Decodes a chunk and appends it. Makes the folder where it is missing, one level. An Error where the chunk has not
/// the size that was said.
Result<void> append_chunk(const std::string& path, std::string_view base64, std::int64_t size);

/// The MD5 of a file as hex.
Result<std::string> md5_of(const std::string& path);

/// Puts a copy of `source` in the place of `destination`: written beside it, synced, renamed. A file that was there
/// passes on its owner, group and mode where no others are asked for.
Result<void> install_file(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes);

/// Makes a folder, one level; no error where it is there.
Result<void> make_folder(const std::string& path);

/// Removes what an earlier run of the daemon left in a cache folder: files "copy_<128 hex>" untouched for `age`.
void remove_stale(const std::string& cache_dir, std::chrono::seconds age);

/// Writes all of `bytes`; an errno, 0 where all went well.
int write_all(int fd, std::string_view bytes);

}  // namespace gorgone::action
