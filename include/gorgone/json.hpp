#pragma once
// JSON as it comes from peers: lenient where deployed daemons are loose (docs/protocol.md, Messages), strict in what we send.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <boost/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gorgone {

namespace json = boost::json;

/// Text that is valid UTF-8: bytes that are not part of a valid sequence are read as Latin-1.
GORGONE_API std::string to_utf8(std::string_view bytes);

/// Parses one JSON value; white space around it is allowed. Bytes that are no UTF-8 are read as Latin-1.
/// Nesting deeper than 200 levels is an error.
GORGONE_API Result<json::value> parse_json(std::string_view text);

/// Compact JSON on one line.
GORGONE_API std::string to_text(const json::value& value);

/// `text` as a JSON string literal with its quotes, appended to `out`.
GORGONE_API void append_json_string(std::string& out, std::string_view text);

/// A member of an object by name, nullptr where `value` is no object or has no such member.
GORGONE_API const json::value* member(const json::value& value, std::string_view name);

/// A number or a string of digits as an integer: deployed peers write either.
GORGONE_API std::optional<std::int64_t> integer_of(const json::value* value);
GORGONE_API std::optional<double> number_of(const json::value* value);
/// A string, or a number or boolean as its text; nothing for null, objects and lists.
GORGONE_API std::optional<std::string> text_of(const json::value* value);
/// Truth as Perl sees it: false for null, "", "0", 0 and false. Absent (nullptr) gives `otherwise`.
GORGONE_API bool truth_of(const json::value* value, bool otherwise);

}  // namespace gorgone
