#include "packages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace gorgone::action {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_harmless(std::string_view text) {
  auto is_allowed = [](char c) { return is_digit(c) || is_letter(c) || std::string_view("._+~:-").find(c) != std::string_view::npos; };
  return !text.empty() && text.size() <= 200 && (is_digit(text[0]) || is_letter(text[0])) &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

std::string version_of(const json::value* value) {
  if (value == nullptr) return "";
  if (const auto* nested = member(*value, "version")) return text_of(nested).value_or("");
  return text_of(value).value_or("");
}

Result<void> add(Packages& packages, std::string_view name, std::string version) {
  if (!is_harmless(name)) return Error{fmt::format("\"{}\" is no package name", name)};
  if (!version.empty() && !is_harmless(version)) return Error{fmt::format("\"{}\" is no version (package {})", version, name)};
  packages[std::string(name)] = std::move(version);
  return {};
}

/// The next run of digits or of letters, cut off the front of `text`; what stands between is passed over.
std::string_view next_part(std::string_view& text) {
  auto is_part = [](char c) { return is_digit(c) || is_letter(c); };
  auto begin = std::find_if(text.begin(), text.end(), is_part);
  if (begin == text.end()) {
    text = {};
    return {};
  }
  auto same = is_digit(*begin) ? is_digit : is_letter;
  auto end = std::find_if_not(begin, text.end(), same);
  std::string_view part(begin, end);
  text = std::string_view(end, text.end());
  return part;
}

int compare_parts(std::string_view left, std::string_view right) {
  if (is_digit(left[0]) && is_digit(right[0])) {
    left.remove_prefix(std::min(left.find_first_not_of('0'), left.size()));
    right.remove_prefix(std::min(right.find_first_not_of('0'), right.size()));
    if (left.size() != right.size()) return left.size() < right.size() ? -1 : 1;
  }
  return left.compare(right);
}

}  // namespace

Result<Packages> read_packages(const json::value& value) {
  Packages packages;
  if (const auto* object = value.if_object()) {
    for (const auto& [name, version] : *object) {
      auto added = add(packages, name, version_of(&version));
      if (!added) return added.error();
    }
    return packages;
  }
  const auto* list = value.if_array();
  if (list == nullptr) return Error{"expected packages as a map of name and version, or as a list"};
  for (const auto& entry : *list) {
    auto name = text_of(entry.is_object() ? member(entry, "name") : &entry);
    auto added = add(packages, name.value_or(""), entry.is_object() ? version_of(member(entry, "version")) : "");
    if (!added) return added.error();
  }
  return packages;
}

Packages read_installed(std::string_view output) {
  Packages installed;
  while (!output.empty()) {
    auto line = output.substr(0, output.find('\n'));
    output.remove_prefix(std::min(output.size(), line.size() + 1));
    auto tab = line.find('\t');
    auto second = tab == std::string_view::npos ? tab : line.find('\t', tab + 1);
    if (second == std::string_view::npos || line.substr(second + 1) != "installed") continue;
    installed[std::string(line.substr(0, tab))] = line.substr(tab + 1, second - tab - 1);
  }
  return installed;
}

bool is_recent_enough(std::string_view have, std::string_view want) {
  // An epoch counts only where both sides speak of one.
  if (auto colon = have.find(':'); colon != std::string_view::npos && want.find(':') == std::string_view::npos)
    have.remove_prefix(colon + 1);
  for (auto part = next_part(want); !part.empty(); part = next_part(want)) {
    auto mine = next_part(have);
    if (mine.empty()) return false;
    if (auto order = compare_parts(mine, part); order != 0) return order > 0;
  }
  return true;
}

std::vector<std::string> to_install(const Packages& wanted, const Packages& installed) {
  std::vector<std::string> missing;
  for (const auto& [name, version] : wanted) {
    auto found = installed.find(name);
    if (found != installed.end() && is_recent_enough(found->second, version)) continue;
    missing.push_back(version.empty() ? name : name + "=" + version);
  }
  return missing;
}

}  // namespace gorgone::action
