#pragma once
// Base64 as the wire, HTTP and chunks of files carry it. Pure functions, usable from any thread.

#include <gorgone/export.hpp>

#include <string>
#include <string_view>

namespace gorgone {

/// RFC 4648 with padding, in one line.
GORGONE_API std::string base64_encode(std::string_view bytes);

/// As lenient as deployed peers: bytes outside the alphabet are skipped, the first '=' or the end closes the last group, full or
/// not. So it never fails; what is no base64 gives few or no bytes.
GORGONE_API std::string base64_decode(std::string_view text);

}  // namespace gorgone
