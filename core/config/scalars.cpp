#include <fmt/format.h>
#include <fmt/ranges.h>
#include <core/config/scalars.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gorgone {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

template <class Number>
std::optional<Number> read(std::string_view text) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool in_range(const Option& option, double number) { return number >= option.min && number <= option.max; }

bool is_chosen(const Option& option, std::string_view text) {
  return option.choices.empty() ||
         std::any_of(option.choices.begin(), option.choices.end(), [&](const std::string& choice) { return same_letters(choice, text); });
}

std::string expected_number(const Option& option, const std::string& kind) {
  const bool has_min = option.min != std::numeric_limits<double>::lowest();
  const bool has_max = option.max != std::numeric_limits<double>::max();
  const std::string what = option.unit.empty() ? kind : has_min || has_max ? option.unit : kind + " of " + option.unit;
  if (has_min && has_max) return fmt::format("{} from {} to {}", what, plain_number(option.min), plain_number(option.max));
  if (has_min) return fmt::format("{}, {} or more", what, plain_number(option.min));
  if (has_max) return fmt::format("{}, {} or less", what, plain_number(option.max));
  return what;
}

}  // namespace

std::optional<bool> read_boolean(std::string_view text) {
  text = trimmed(text);
  for (std::string_view yes : {"true", "yes", "on", "1"}) {
    if (same_letters(text, yes)) return true;
  }
  for (std::string_view no : {"false", "no", "off", "0"}) {
    if (same_letters(text, no)) return false;
  }
  return std::nullopt;
}

std::optional<std::int64_t> read_integer(std::string_view text) { return read<std::int64_t>(text); }

std::optional<double> read_number(std::string_view text) {
  const std::optional<double> number = read<double>(text);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

bool fits(const Option& option, std::string_view text) {
  switch (option.type) {
    case OptionType::boolean:
      return read_boolean(text).has_value();
    case OptionType::integer: {
      const std::optional<std::int64_t> number = read_integer(text);
      return number && in_range(option, static_cast<double>(*number)) && is_chosen(option, std::to_string(*number));
    }
    case OptionType::number: {
      const std::optional<double> number = read_number(text);
      return number && in_range(option, *number);
    }
    case OptionType::text:
    case OptionType::path:
      return is_chosen(option, text) && !(option.is_required && text.empty());
    case OptionType::texts:
      return is_chosen(option, text);
    case OptionType::anything:
      return true;
    case OptionType::list:
    case OptionType::map:
      return false;
  }
  return false;
}

std::string as_chosen(const Option& option, std::string_view text) {
  for (const std::string& choice : option.choices) {
    if (same_letters(choice, text)) return choice;
  }
  return std::string(text);
}

std::string expected(const Option& option) {
  if (!option.choices.empty()) {
    return fmt::format("{} {}", option.type == OptionType::texts ? "a list out of" : "one of", fmt::join(option.choices, ", "));
  }
  switch (option.type) {
    case OptionType::text:
      return "a text";
    case OptionType::path:
      return "a path";
    case OptionType::integer:
      return expected_number(option, "a whole number");
    case OptionType::number:
      return expected_number(option, "a number");
    case OptionType::boolean:
      return "true or false";
    case OptionType::texts:
      return "a list of texts";
    case OptionType::list:
      return "a list of maps";
    case OptionType::map:
      return "a map";
    case OptionType::anything:
      return "any value";
  }
  return {};
}

bool same_letters(std::string_view one, std::string_view other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), [](char a, char b) { return lower(a) == lower(b); });
}

std::string plain_number(double number) {
  return number == std::floor(number) && std::abs(number) < 1e18 ? fmt::format("{:.0f}", number) : fmt::format("{}", number);
}

}  // namespace gorgone
