#pragma once
// Keeps a second daemon off the same database: a lock file beside it, held while the process lives.

#include <gorgone/result.hpp>

#include <string>

namespace gorgone {

/// An Error where another process holds the lock, with its pid. Where there is no folder for a lock file nothing is locked: the journal
/// will tell what is wrong with it. Where there is one that cannot be locked a WARNING says so.
Result<void> lock_database(const std::string& path);

}  // namespace gorgone
