#pragma once
// What is said of files that hold private keys. Blocking, and quick: any thread.

#include <gorgone/export.hpp>

#include <string>

namespace gorgone {

/// What to tell of a private key that users beyond its owner and its group can read: who, which file, what was expected. Empty where there
/// is nothing to tell, or no such file.
GORGONE_API std::string key_file_warning(const std::string& file);

}  // namespace gorgone
