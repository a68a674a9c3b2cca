#pragma once
// The files of an operator's signing key: ca.secret (0600) and ca.public in a directory, a line each:
// "gorgone-mcollective-ca-secret 1 <128 hexadecimal digits>" and "gorgone-mcollective-ca-public 1 <64 hexadecimal digits>".
// Blocking; any thread.

#include <string>

#include "certificate.hpp"

namespace gorgone::mcollective {

inline constexpr const char* authority_secret_name = "ca.secret";
inline constexpr const char* authority_public_name = "ca.public";

/// Makes both files, durable before it returns. An Error where one of them is there already.
Result<Authority> make_authority_files(const std::string& directory);
/// The whole key in a directory. An Error where others than its owner may read it.
Result<Authority> read_authority_secret(const std::string& directory);
/// 32 bytes, from the text of a ca.public.
Result<std::string> read_authority_public(std::string_view text);

/// All of a file. An Error where it cannot be read, is no plain file or has more than `bytes_max`.
Result<std::string> read_whole_file(const std::string& path, std::size_t bytes_max);
/// Puts a file in place as one step, durable. `is_new`: an Error where there is one already.
Result<void> write_whole_file(const std::string& path, std::string_view text, unsigned mode, bool is_new);

}  // namespace gorgone::mcollective
