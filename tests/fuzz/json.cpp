// JSON from peers: what is read can be written and read again, on one line of UTF-8, and every reader of members takes every value.

#include <gorgone/json.hpp>
#include <gorgone/message.hpp>

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cmath>

using namespace gorgone;
using namespace gorgone::fuzz;

namespace {

std::size_t depth_of(const json::value& value) {
  std::size_t deepest = 0;
  if (const auto* list = value.if_array()) {
    for (const auto& item : *list) deepest = std::max(deepest, depth_of(item));
  } else if (const auto* object = value.if_object()) {
    for (const auto& item : *object) deepest = std::max(deepest, depth_of(item.value()));
  } else {
    return 0;
  }
  return deepest + 1;
}

bool is_same(const json::value& one, const json::value& other) {
  if (one.is_number()) {
    // 1.0 comes back as an integer, JSON knows no infinity, and Boost.JSON 1.81 does not round the last digit of long numbers.
    const auto number = number_of(&one), again = number_of(&other);
    return number ? again && std::abs(*number - *again) <= std::abs(*number) * 1e-14 : other.is_null();
  }
  if (one.kind() != other.kind()) return false;
  if (const auto* list = one.if_array()) {
    return std::equal(list->begin(), list->end(), other.get_array().begin(), other.get_array().end(), is_same);
  }
  if (const auto* object = one.if_object()) {
    const auto same_member = [](const auto& a, const auto& b) { return a.key() == b.key() && is_same(a.value(), b.value()); };
    return std::equal(object->begin(), object->end(), other.get_object().begin(), other.get_object().end(), same_member);
  }
  return one == other;
}

void check_readers(const json::value& value) {
  const auto integer = integer_of(&value);
  const auto number = number_of(&value);
  const auto text = text_of(&value);
  require(!integer || number, "what is an integer is a number");
  // Far from 2^53 a double says the same integer.
  if (integer && std::abs(*number) < 9e15) require(static_cast<std::int64_t>(*number) == *integer, "both say the same");
  require(text.has_value() == (!value.is_null() && !value.is_structured()), "scalars have a text");
  if (const auto* string = value.if_string())
    require(truth_of(&value, false) == !(string->empty() || *string == "0"), "strings are true as in Perl");
  if (value.is_null()) require(!truth_of(&value, true), "null is false");
  require(truth_of(&value, true) == truth_of(&value, false), "what is there is true or false, whatever nothing would be");
  if (number && !value.is_string()) require(truth_of(&value, false) == (*number != 0), "numbers are true but for zero");
  if (const auto* list = value.if_array()) {
    for (const auto& item : *list) check_readers(item);
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [name, item] : *object) {
      require(member(value, name) == &item, "a member is found by its name");
      check_readers(item);
    }
  }
}

void check_utf8(std::string_view bytes) {
  const auto text = to_utf8(bytes);
  require(to_utf8(text) == text, "what was made UTF-8 is UTF-8", bytes);
  require(text.size() >= bytes.size() && text.size() <= 2 * bytes.size(), "no byte is lost", bytes);
  std::string literal;
  append_json_string(literal, bytes);
  const auto read = parse_json(literal);
  require(read.has_value() && read->is_string(), "any bytes can be a string", bytes);
  require(std::string_view(read->get_string()) == text, "a string keeps its text", bytes);
}

void check_value(std::string_view text, const json::value& value) {
  require(depth_of(value) <= 200, "what is nested too deep is refused");
  const auto written = to_text(value);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  require(std::none_of(written.begin(), written.end(), is_control), "JSON is written on one line", text);
  require(to_utf8(written) == written, "JSON is written as UTF-8", text);
  const auto again = parse_json(written);
  require(again.has_value(), "what is written can be read", text);
  require(is_same(value, *again), "and is the same", text);
  check_readers(value);

  const Payload from_value{json::value(value)};
  require(from_value.text() == written, "a payload has its value's text", text);
  const Payload from_text{std::string(text)};
  require(from_text.json().has_value() && from_text.text() == text, "a payload keeps the text as it came", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_utf8(text);
  const auto value = parse_json(text);
  if (value)
    check_value(text, *value);
  else
    require(!value.error().message.empty(), "what is no JSON is said to be none", text);
  return 0;
}
