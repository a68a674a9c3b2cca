#include "core/wire/base64.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/wire/base64_blocks.hpp"

namespace gorgone {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t skipped = 0x80;
constexpr std::uint8_t closing = 0x81;

using Table = std::array<std::uint8_t, 256>;

constexpr Table make_table() {
  Table table{};
  table.fill(skipped);
  for (std::size_t i = 0; i < alphabet.size(); ++i) table[static_cast<std::uint8_t>(alphabet[i])] = static_cast<std::uint8_t>(i);
  table[static_cast<std::uint8_t>('=')] = closing;
  return table;
}

constexpr Table table = make_table();

std::uint8_t byte_at(std::string_view text, std::size_t i) { return static_cast<std::uint8_t>(text[i]); }

void put(char*& out, std::uint32_t bits) {
  *out++ = static_cast<char>(bits >> 16);
  *out++ = static_cast<char>(bits >> 8);
  *out++ = static_cast<char>(bits);
}

/// The two letters of 12 bits.
constexpr auto pairs = [] {
  std::array<std::array<char, 2>, 4096> made{};
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = {alphabet[i >> 6], alphabet[i & 63]};
  return made;
}();

/// What a letter adds at each place of a group; a bit beyond the group's 24 where it is none.
constexpr std::uint32_t no_letter = 1U << 31;
constexpr auto places = [] {
  std::array<std::array<std::uint32_t, 256>, 4> made{};
  for (std::size_t place = 0; place < 4; ++place)
    for (std::size_t letter = 0; letter < 256; ++letter)
      made[place][letter] = (table[letter] & 0x80) != 0 ? no_letter : std::uint32_t{table[letter]} << (18 - 6 * place);
  return made;
}();

/// Whole groups without anything to skip, which is nearly all there ever is; returns where they end.
std::size_t decode_groups(std::string_view text, std::size_t at, char*& out) {
  const auto in_blocks = decode_blocks(text.substr(at), out);
  at += in_blocks;
  char* to = out + in_blocks / 4 * 3;
  for (; at + 4 <= text.size(); at += 4, to += 3) {
    const std::uint32_t bits = places[0][byte_at(text, at)] | places[1][byte_at(text, at + 1)] | places[2][byte_at(text, at + 2)] |
                               places[3][byte_at(text, at + 3)];
    if ((bits & no_letter) != 0) break;
    to[0] = static_cast<char>(bits >> 16);
    to[1] = static_cast<char>(bits >> 8);
    to[2] = static_cast<char>(bits);
  }
  out = to;
  return at;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '=');
  char* out = text.data();
  std::size_t i = encode_blocks(bytes, out);
  out += i / 3 * 4;
  for (; i + 3 <= bytes.size(); i += 3) {
    const std::uint32_t bits =
        std::uint32_t{byte_at(bytes, i)} << 16 | std::uint32_t{byte_at(bytes, i + 1)} << 8 | std::uint32_t{byte_at(bytes, i + 2)};
    std::memcpy(out, pairs[bits >> 12].data(), 2);
    std::memcpy(out + 2, pairs[bits & 4095].data(), 2);
    out += 4;
  }
  if (i < bytes.size()) {
    const bool two = i + 1 < bytes.size();
    const std::uint32_t bits = std::uint32_t{byte_at(bytes, i)} << 16 | (two ? std::uint32_t{byte_at(bytes, i + 1)} << 8 : 0);
    *out++ = alphabet[bits >> 18];
    *out++ = alphabet[bits >> 12 & 63];
    if (two) *out++ = alphabet[bits >> 6 & 63];
  }
  return text;
}

std::string base64_decode(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  char* out = bytes.data();
  std::size_t at = decode_groups(text, 0, out);
  std::uint32_t bits = 0;
  int have = 0;
  while (at < text.size()) {
    const std::uint8_t value = table[byte_at(text, at++)];
    if (value == closing) break;
    if (value == skipped) continue;
    bits = bits << 6 | value;
    if (++have < 4) continue;
    put(out, bits);
    bits = 0;
    have = 0;
    at = decode_groups(text, at, out);
  }
  if (have >= 2) *out++ = static_cast<char>(bits >> (have == 2 ? 4 : 10));
  if (have == 3) *out++ = static_cast<char>(bits >> 2);
  bytes.resize(static_cast<std::size_t>(out - bytes.data()));
  return bytes;
}

}  // namespace gorgone
