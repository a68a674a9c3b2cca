#pragma once
// What brokers write down for themselves and for each other: numbers of a fixed size, the lowest byte first, and texts behind their length
// of four bytes. Pure functions, on any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gorgone::mcollective {

void put_number(std::string& out, std::uint64_t number, int bytes);
void put_text(std::string& out, std::string_view text);

/// Takes what put_… wrote off the front of `rest`; nothing, and `rest` somewhere inside, where it ends too early.
std::optional<std::uint64_t> take_number(std::string_view& rest, std::size_t bytes);
std::optional<std::string_view> take_text(std::string_view& rest);  ///< a part of what `rest` was

}  // namespace gorgone::mcollective
