#include <fmt/format.h>
#include <core/config/merge.hpp>

#include <iterator>
#include <unordered_map>

namespace gorgone {

namespace {

using Kind = ConfigValue::Kind;

const char* name_of(Kind kind) { return kind == Kind::map ? "a map" : kind == Kind::list ? "a list" : "a text"; }

}  // namespace

void merge(ConfigValue& into, ConfigValue from, const std::string& key, std::vector<Problem>& problems) {
  if (from.kind == Kind::null) return;
  if (into.kind == Kind::null) {
    into = std::move(from);
    return;
  }
  if (into.kind != from.kind) {
    problems.push_back(
        {Problem::Severity::error, fmt::format("{}: {} in {} cannot be joined with {} in {}, expected the same kind in both",
                                               key.empty() ? "the top level of " + from.where.text() : key, name_of(from.kind),
                                               from.where.text(), name_of(into.kind), into.where.text())});
    return;
  }
  if (from.kind == Kind::scalar) {
    into = std::move(from);
  } else if (from.kind == Kind::list) {
    into.list.insert(into.list.end(), std::make_move_iterator(from.list.begin()), std::make_move_iterator(from.list.end()));
  } else {
    std::unordered_map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < into.map.size(); ++i) places.emplace(into.map[i].first, i);
    for (auto& [name, value] : from.map) {
      if (const auto place = places.find(name); place != places.end()) {
        merge(into.map[place->second].second, std::move(value), key.empty() ? name : key + "." + name, problems);
      } else {
        into.map.emplace_back(std::move(name), std::move(value));
      }
    }
  }
}

}  // namespace gorgone
