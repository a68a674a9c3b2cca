#pragma once
// What the text of a scalar means to an option. Pure functions, on any thread; the check and Settings share them, so that
// what the check lets pass is what a module reads.

#include <gorgone/config.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gorgone {

std::optional<bool> read_boolean(std::string_view text);
std::optional<std::int64_t> read_integer(std::string_view text);
std::optional<double> read_number(std::string_view text);

/// Whether `text` is of the option's type, in its range and among its choices.
bool fits(const Option& option, std::string_view text);

/// The choice that `text` names, as the schema spells it (case does not matter); `text` itself where the option has none.
std::string as_chosen(const Option& option, std::string_view text);

/// "seconds from 1 to 86400", "one of always, first, strict", "a path".
std::string expected(const Option& option);

/// Whether both are the same but for the case of ASCII letters.
bool same_letters(std::string_view one, std::string_view other);

/// A bound of a range without a needless fraction.
std::string plain_number(double number);

}  // namespace gorgone
