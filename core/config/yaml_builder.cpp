#include <fmt/format.h>
#include <yaml-cpp/exceptions.h>
#include <core/config/yaml_builder.hpp>
#include <gorgone/log.hpp>

#include <algorithm>

namespace gorgone {

namespace {

using Kind = ConfigValue::Kind;

constexpr std::string_view include_tag = "!include";

struct Extent {
  std::size_t nodes = 1;
  std::size_t levels = 0;
};

// Recursion is bounded: no value is deeper than YamlBudget::depth_max.
Extent extent_of(const ConfigValue& value) {
  Extent all;
  const auto take_in = [&all](const ConfigValue& item) {
    const Extent part = extent_of(item);
    all.nodes += part.nodes;
    all.levels = std::max(all.levels, part.levels + 1);
  };
  for (const ConfigValue& item : value.list) take_in(item);
  for (const auto& [name, item] : value.map) take_in(item);
  return all;
}

}  // namespace

void YamlBuilder::OnDocumentStart(const YAML::Mark& mark) {
  if (has_document_) throw YAML::ParserException(mark, "a second document begins, expected one per file");
  has_document_ = true;
}

void YamlBuilder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  if (wants_key()) throw YAML::ParserException(mark, "expected a key before the colon");
  add(made(Kind::null, mark), anchor, mark);
}

void YamlBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end()) throw YAML::ParserException(mark, "an alias stands inside of what it names");
  const Extent extent = extent_of(found->second);
  count(extent.nodes, extent.levels, mark);
  if (!wants_key()) return add(found->second, 0, mark);
  if (found->second.kind != Kind::scalar) throw YAML::ParserException(mark, "expected a text as the key");
  OnScalar(mark, "?", 0, found->second.scalar);
}

void YamlBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& text) {
  if (wants_key()) {
    Open& map = open_.back();
    map.key = text;
    map.key_line = mark.line + 1;
    return;
  }
  if (tag == include_tag) {
    const Where where{file_, mark.line + 1};
    return add(include_(text, where, depth_ + open_.size()), anchor, mark);
  }
  ConfigValue value = made(Kind::scalar, mark);
  value.scalar = text;
  add(std::move(value), anchor, mark);
}

void YamlBuilder::OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) {
  open(Kind::list, mark, tag, anchor);
}

void YamlBuilder::OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) {
  open(Kind::map, mark, tag, anchor);
}

void YamlBuilder::open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
  if (wants_key()) throw YAML::ParserException(mark, "expected a text as the key");
  if (tag == include_tag) throw YAML::ParserException(mark, "expected file names after !include, separated by commas");
  count(0, 1, mark);
  open_.push_back(Open{made(kind, mark), anchor, mark});
}

void YamlBuilder::close() {
  Open closed = std::move(open_.back());
  open_.pop_back();
  add(std::move(closed.value), closed.anchor, closed.mark);
}

void YamlBuilder::add(ConfigValue value, YAML::anchor_t anchor, const YAML::Mark& mark) {
  count(1, 0, mark);
  if (anchor != 0) {
    count(extent_of(value).nodes, 0, mark);
    anchors_[anchor] = value;
  }
  if (open_.empty()) {
    root_ = std::move(value);
  } else if (open_.back().value.kind == Kind::list) {
    open_.back().value.list.push_back(std::move(value));
  } else {
    add_member(open_.back(), std::move(value), mark);
  }
}

void YamlBuilder::add_member(Open& map, ConfigValue value, const YAML::Mark& mark) {
  // A value of the same file is found at its key; what was included stays where it is.
  if (value.where.file == file_) value.where.line = map.key_line;
  const auto [place, is_new] = map.places.emplace(*map.key, map.value.map.size());
  if (is_new) {
    map.value.map.emplace_back(*map.key, std::move(value));
  } else {
    ConfigValue& before = map.value.map[place->second].second;
    const int line = map.key_line > 0 ? map.key_line : mark.line + 1;
    problems_.push_back(
        {Problem::Severity::warning, fmt::format("{}: \"{}\" is written twice in one map (before at {}); the last one counts",
                                                 Where{file_, line}.text(), printable(*map.key), before.where.text())});
    before = std::move(value);
  }
  map.key.reset();
}

bool YamlBuilder::wants_key() const { return !open_.empty() && open_.back().value.kind == Kind::map && !open_.back().key; }

void YamlBuilder::count(std::size_t nodes, std::size_t levels, const YAML::Mark& mark) {
  budget_.nodes += nodes;
  if (budget_.nodes > YamlBudget::nodes_max) {
    throw YAML::ParserException(mark, fmt::format("more than {} values in all, counting what aliases repeat", YamlBudget::nodes_max));
  }
  if (depth_ + open_.size() + levels > YamlBudget::depth_max) {
    throw YAML::ParserException(mark, fmt::format("nested deeper than {} levels", YamlBudget::depth_max));
  }
}

ConfigValue YamlBuilder::made(Kind kind, const YAML::Mark& mark) const {
  ConfigValue value;
  value.kind = kind;
  value.where.file = file_;
  value.where.line = mark.line + 1;
  return value;
}

}  // namespace gorgone
