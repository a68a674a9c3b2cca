#include <fmt/format.h>
#include <core/config/nearest.hpp>
#include <core/config/scalars.hpp>
#include <gorgone/config.hpp>
#include <gorgone/log.hpp>

#include <algorithm>
#include <map>

namespace gorgone {

namespace {

using Kind = ConfigValue::Kind;

// The schema as a tree: each part of a key is a level, "nodes[]" leads through the items of a list.
struct SchemaNode {
  const Option* option = nullptr;
  bool is_list = false;
  std::map<std::string, SchemaNode, std::less<>> members = {};
};

SchemaNode tree_of(const Schema& schema) {
  SchemaNode root;
  for (const Option& option : schema) {
    SchemaNode* node = &root;
    std::string_view rest = option.key;
    while (!rest.empty()) {
      const std::size_t dot = std::min(rest.find('.'), rest.size());
      std::string_view part = rest.substr(0, dot);
      rest.remove_prefix(std::min(dot + 1, rest.size()));
      const bool is_list = part.ends_with("[]");
      if (is_list) part.remove_suffix(2);
      node = &node->members[std::string(part)];
      node->is_list = node->is_list || is_list;
    }
    node->option = &option;
  }
  return root;
}

// Such a value is the way to a secret, not the secret: a module must not take it for a password.
bool is_in_vault(const ConfigValue& value) { return value.kind == Kind::scalar && value.scalar.starts_with("secret::"); }

std::string in_words(const ConfigValue& value, bool is_secret) {
  switch (value.kind) {
    case Kind::null:
      return "nothing";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a map";
    case Kind::scalar:
      break;
  }
  return is_secret ? "\"***\"" : fmt::format("\"{}\"", printable(value.scalar, 80));
}

class Checker {
 public:
  std::vector<Problem> problems;

  void check_map(const ConfigValue& map, const SchemaNode& node, const std::string& path, const std::vector<std::string>& also_known) {
    for (const auto& [name, value] : map.map) {
      const SchemaNode* member = find(node, name);
      const std::string full = path.empty() ? name : path + "." + name;
      if (member != nullptr) {
        check_value(value, *member, full);
      } else if (std::find(also_known.begin(), also_known.end(), name) == also_known.end()) {
        warn(unknown_option(full, value.where.text(), name, known(node, also_known)));
      }
    }
    for (const auto& [name, member] : node.members) {
      if (member.option == nullptr || !member.option->is_required) continue;
      const ConfigValue* value = map.find(name);
      if (value != nullptr && value->kind != Kind::null) continue;
      const Where& where = value == nullptr ? map.where : value->where;
      fail(fmt::format("{}: missing{}, expected {}", path.empty() ? name : path + "." + name, at(where), wanted(member)));
    }
  }

  void wrong(const ConfigValue& value, const std::string& path, const std::string& expectation, bool is_secret = false) {
    fail(fmt::format("{}: got {}{}, expected {}", printable(path), in_words(value, is_secret), at(value.where), expectation));
  }

 private:
  void check_value(const ConfigValue& value, const SchemaNode& node, const std::string& path) {
    if (value.kind == Kind::null) return;  // as good as absent
    if (node.option != nullptr && (node.option->is_ignored || node.option->type == OptionType::anything)) return;
    const OptionType type = type_of(node);
    if (type == OptionType::map) {
      if (value.kind != Kind::map) return wrong(value, path, wanted(node));
      if (!node.members.empty()) check_map(value, node, path, {});
    } else if (type == OptionType::list) {
      check_list(value, node, path);
    } else if (type == OptionType::texts) {
      check_texts(value, *node.option, path);
    } else {
      check_scalar(value, *node.option, path);
    }
  }

  void check_list(const ConfigValue& value, const SchemaNode& node, const std::string& path) {
    if (value.kind != Kind::list) return wrong(value, path, wanted(node));
    for (std::size_t i = 0; i < value.list.size(); ++i) {
      const ConfigValue& item = value.list[i];
      const std::string item_path = fmt::format("{}[{}]", path, i);
      if (item.kind != Kind::map) {
        wrong(item, item_path, "a map");
      } else if (!node.members.empty()) {
        check_map(item, node, item_path, {});
      }
    }
  }

  void check_texts(const ConfigValue& value, const Option& option, const std::string& path) {
    if (value.kind == Kind::map) return wrong(value, path, with_default(option));
    if (value.kind == Kind::scalar) return check_scalar(value, option, path);
    for (std::size_t i = 0; i < value.list.size(); ++i) {
      const ConfigValue& item = value.list[i];
      const std::string item_path = fmt::format("{}[{}]", path, i);
      if (is_in_vault(item)) {
        in_vault(item, item_path);
      } else if (item.kind != Kind::scalar || !fits(option, item.scalar)) {
        wrong(item, item_path, option.choices.empty() ? "a text" : expected(option), option.is_secret);
      }
    }
  }

  void check_scalar(const ConfigValue& value, const Option& option, const std::string& path) {
    if (is_in_vault(value)) return in_vault(value, path);
    if (value.kind == Kind::scalar && fits(option, value.scalar)) return;
    if (value.kind == Kind::scalar && value.scalar.empty() && !option.is_required) {
      // Deployed configurations hold such lines, and the deployed daemon takes its default for them.
      warn(fmt::format("{}: got \"\"{}, expected {}; the default is taken", path, at(value.where), with_default(option)));
      return;
    }
    wrong(value, path, with_default(option), option.is_secret);
  }

  void in_vault(const ConfigValue& value, const std::string& path) {
    fail(fmt::format("{}: is kept in a vault{}, which cannot be read yet; expected the value itself", printable(path), at(value.where)));
  }

  static OptionType type_of(const SchemaNode& node) {
    if (node.is_list) return OptionType::list;
    if (!node.members.empty()) return OptionType::map;
    return node.option->type;
  }

  static const SchemaNode* find(const SchemaNode& node, std::string_view name) {
    if (const auto found = node.members.find(name); found != node.members.end()) return &found->second;
    for (const auto& [pattern, member] : node.members) {
      if (!pattern.ends_with('*') || member.option == nullptr || !member.option->is_ignored) continue;
      if (name.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1))) return &member;
    }
    return nullptr;
  }

  static std::vector<std::string> known(const SchemaNode& node, const std::vector<std::string>& also_known) {
    std::vector<std::string> names = also_known;
    for (const auto& [name, member] : node.members) {
      if (member.option == nullptr || !member.option->is_ignored) names.push_back(name);
    }
    return names;
  }

  static std::string with_default(const Option& option) {
    return option.standard.empty() || option.is_secret ? expected(option)
                                                       : fmt::format("{} (default {})", expected(option), option.standard);
  }

  static std::string wanted(const SchemaNode& node) {
    switch (type_of(node)) {
      case OptionType::list:
        return "a list of maps";
      case OptionType::map:
        return "a map";
      default:
        return with_default(*node.option);
    }
  }

  static std::string at(const Where& where) {
    const std::string text = where.text();
    return text.empty() ? text : fmt::format(" ({})", text);
  }

  void fail(std::string message) { problems.push_back({Problem::Severity::error, std::move(message)}); }
  void warn(std::string message) { problems.push_back({Problem::Severity::warning, std::move(message)}); }
};

}  // namespace

std::vector<Problem> check(const ConfigValue& values, const Schema& schema, std::string_view path,
                           const std::vector<std::string>& also_known) {
  Checker checker;
  if (values.kind == Kind::map || values.kind == Kind::null) {
    checker.check_map(values, tree_of(schema), std::string(path), also_known);
  } else {
    checker.wrong(values, std::string(path), "a map");
  }
  return std::move(checker.problems);
}

}  // namespace gorgone
