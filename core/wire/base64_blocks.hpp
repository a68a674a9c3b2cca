#pragma once
// Base64 sixteen letters at a time, where the processor can: files that do not shrink pass through it twice at each end. Pure.

#include <cstddef>
#include <string_view>

namespace gorgone {

/// Encodes whole blocks of 12 bytes; returns how many bytes that were. The rest, 4 bytes at least, is left.
std::size_t encode_blocks(std::string_view bytes, char* out);

/// Decodes whole blocks of 16 letters up to the first that holds anything else; returns how many letters that were. The rest, 8 letters at
/// least, is left, for up to 4 bytes are written beyond those that count.
std::size_t decode_blocks(std::string_view text, char* out);

}  // namespace gorgone
