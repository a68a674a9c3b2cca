#pragma once
// CURVE keys: 32 bytes, written as 40 characters of Z85 (ZeroMQ RFC 32), one line in a file, as curve_keygen and the connector have them.

#include <gorgone/result.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace gorgone::mcollective {

struct KeyPair {
  std::string public_key, secret_key;  ///< 32 bytes each
};

/// Lets libsodium choose what is fastest on this processor; once for the process, from any thread. Throws where it cannot start.
void start_sodium();
KeyPair new_key_pair();
std::string to_z85(std::string_view bytes);
/// 32 bytes; an Error says what is wrong with the text, never the text itself.
Result<std::string> from_z85(std::string_view text);
/// The key in a file, an Error names file and what was expected.
Result<std::string> read_key_file(const std::string& path);
/// The broker's pair. Both files absent: made anew (secret 0600, public 0644), durable before it returns. One absent: an Error. The public
/// key not that of the secret one: an Error. A secret file that others may read is told in `warning`.
Result<KeyPair> load_or_make_pair(const std::string& secret_path, const std::string& public_path, std::string& warning);

}  // namespace gorgone::mcollective
