#include <fmt/format.h>
#include <core/config/scalars.hpp>
#include <core/config/yaml_file.hpp>
#include <gorgone/config.hpp>

#include <stdexcept>

namespace gorgone {

namespace {

using Kind = ConfigValue::Kind;

bool is_text(OptionType type) { return type == OptionType::text || type == OptionType::path; }

std::string full_key(const std::string& prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key);
}

// The value at a path of map members; `nearest` is how far one gets.
const ConfigValue* value_at(const ConfigValue* from, std::string_view key, const ConfigValue** nearest = nullptr) {
  while (from != nullptr && !key.empty()) {
    if (nearest != nullptr) *nearest = from;
    const std::size_t dot = std::min(key.find('.'), key.size());
    from = from->find(key.substr(0, dot));
    key.remove_prefix(std::min(dot + 1, key.size()));
  }
  return from == nullptr || from->kind == Kind::null ? nullptr : from;
}

const Option* find_option(const Schema& schema, std::string_view full) {
  for (const Option& option : schema) {
    if (option.key == full) return &option;
  }
  return nullptr;
}

// Whether the schema knows the key, if only as a parent of others.
bool is_known(const Schema& schema, const std::string& full) {
  for (const Option& option : schema) {
    if (!option.key.starts_with(full)) continue;
    const std::string_view rest = std::string_view(option.key).substr(full.size());
    if (rest.empty() || rest.starts_with('.') || rest.starts_with("[].")) return true;
  }
  return false;
}

[[noreturn]] void unknown_key(const std::string& full) { throw std::logic_error("option \"" + full + "\" is not in the schema"); }

[[noreturn]] void other_type(const Option& option) { throw std::logic_error("option \"" + option.key + "\" is asked for as another type"); }

}  // namespace

Settings::Settings(std::shared_ptr<const Schema> schema, std::shared_ptr<const ConfigValue> values, std::string prefix)
    : schema_(std::move(schema)), values_(std::move(values)), prefix_(std::move(prefix)) {}

const Option& Settings::option(std::string_view key) const {
  const std::string full = full_key(prefix_, key);
  if (const Option* found = find_option(*schema_, full)) return *found;
  unknown_key(full);
}

// The text as written where it fits the option, else the default, else nothing.
std::optional<std::string> Settings::scalar(std::string_view key, OptionType type) const {
  const Option& asked = option(key);
  if (asked.type != type && !(is_text(asked.type) && is_text(type))) other_type(asked);
  const ConfigValue* value = value_at(values_.get(), key);
  if (value != nullptr && value->kind == Kind::scalar && fits(asked, value->scalar)) return as_chosen(asked, value->scalar);
  if (asked.standard.empty()) return std::nullopt;
  return asked.standard;
}

bool Settings::has(std::string_view key) const { return raw(key) != nullptr; }

std::string Settings::text(std::string_view key) const { return scalar(key, OptionType::text).value_or(std::string()); }

std::int64_t Settings::integer(std::string_view key) const {
  return read_integer(scalar(key, OptionType::integer).value_or("0")).value_or(0);
}

double Settings::number(std::string_view key) const { return read_number(scalar(key, OptionType::number).value_or("0")).value_or(0); }

bool Settings::boolean(std::string_view key) const {
  return read_boolean(scalar(key, OptionType::boolean).value_or("false")).value_or(false);
}

std::vector<std::string> Settings::texts(std::string_view key) const {
  const Option& asked = option(key);
  if (asked.type != OptionType::texts) other_type(asked);
  const ConfigValue* value = value_at(values_.get(), key);
  ConfigValue standard;
  if (value == nullptr && !asked.standard.empty()) {
    standard = parse_yaml_text(asked.standard);
    value = &standard;
  }
  if (value == nullptr) return {};
  std::vector<std::string> out;
  if (value->kind == Kind::scalar && fits(asked, value->scalar)) out.push_back(as_chosen(asked, value->scalar));
  for (const ConfigValue& item : value->list) {
    if (item.kind == Kind::scalar && fits(asked, item.scalar)) out.push_back(as_chosen(asked, item.scalar));
  }
  return out;
}

std::vector<Settings> Settings::items(std::string_view key) const {
  const std::string full = full_key(prefix_, key);
  if (!is_known(*schema_, full)) unknown_key(full);
  const Option* asked = find_option(*schema_, full);
  if (asked != nullptr && asked->type != OptionType::list) other_type(*asked);
  std::vector<Settings> out;
  const ConfigValue* value = value_at(values_.get(), key);
  if (value == nullptr) return out;
  for (const ConfigValue& item : value->list) {
    if (item.kind != Kind::map) continue;
    out.emplace_back(schema_, std::shared_ptr<const ConfigValue>(values_, &item), full + "[]");
  }
  return out;
}

const ConfigValue* Settings::raw(std::string_view key) const {
  const std::string full = full_key(prefix_, key);
  if (!is_known(*schema_, full)) unknown_key(full);
  return value_at(values_.get(), key);
}

Where Settings::where(std::string_view key) const {
  const std::string full = full_key(prefix_, key);
  if (!is_known(*schema_, full)) unknown_key(full);
  const ConfigValue* nearest = nullptr;
  const ConfigValue* value = value_at(values_.get(), key, &nearest);
  if (value != nullptr) return value->where;
  return nearest == nullptr ? Where{} : nearest->where;
}

}  // namespace gorgone
