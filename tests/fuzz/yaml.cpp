// A configuration from its files to its settings. An input is the main file, then `%%%` on a line of its own before each further file;
// these are a.yaml, b.yaml and c.yaml, for the main file to include.

#include "core/config/agent_config.hpp"
#include "core/config/core_schema.hpp"
#include "core/config/scalars.hpp"
#include "core/config/yaml_file.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/scratch.hpp"

#include <algorithm>
#include <fstream>

using namespace gorgone;
using namespace gorgone::fuzz;

namespace {

constexpr std::string_view separator = "\n%%%\n";

/// Writes the files and gives the first one's path.
std::string write_files(const Scratch& scratch, std::string_view text) {
  for (const char* name : {"main.yaml", "a.yaml", "b.yaml", "c.yaml"}) {
    const auto end = std::min(text.find(separator), text.size());
    std::ofstream(scratch.path() / name, std::ios::binary | std::ios::trunc) << text.substr(0, end);
    text.remove_prefix(std::min(end + separator.size(), text.size()));
  }
  return (scratch.path() / "main.yaml").string();
}

void check_problems(const std::vector<Problem>& problems) {
  for (const auto& problem : problems) {
    require(!problem.message.empty() && is_one_clean_line(problem.message), "a problem is told on one line", problem.message);
    require(to_utf8(problem.message) == problem.message, "a problem is told in UTF-8", problem.message);
  }
}

void check_tree(const ConfigValue& value, std::size_t depth) {
  using Kind = ConfigValue::Kind;
  require(depth <= YamlBudget::depth_max, "what is nested too deep is refused");
  require(value.where.line >= 0, "a value stands somewhere");
  require(value.list.empty() || value.kind == Kind::list, "only lists have items");
  require(value.map.empty() || value.kind == Kind::map, "only maps have members");
  for (const auto& item : value.list) check_tree(item, depth + 1);
  for (const auto& [name, item] : value.map) {
    require(value.find(name) != nullptr, "a member is found by its name", name);
    check_tree(item, depth + 1);
  }
}

void check_setting(const Settings& settings, const Option& option) {
  switch (option.type) {
    case OptionType::integer: {
      const auto number = static_cast<double>(settings.integer(option.key));
      return require(option.standard.empty() || (number >= option.min && number <= option.max), "a number is in its range", option.key);
    }
    case OptionType::boolean:
      settings.boolean(option.key);
      return;
    case OptionType::text:
    case OptionType::path: {
      const auto text = settings.text(option.key);
      const auto& choices = option.choices;
      const bool is_chosen = choices.empty() || text.empty() || std::find(choices.begin(), choices.end(), text) != choices.end();
      return require(is_chosen, "a text is one of its choices", option.key);
    }
    case OptionType::list:
      for (const auto& item : settings.items(option.key)) require(item.has("key") || item.text("key").empty(), "an item has its members");
      return;
    default:
      settings.raw(option.key);
  }
}

void check_agent_config(const std::string& file) {
  std::vector<Problem> problems;
  const auto config = load_agent_config(file, problems);
  check_problems(problems);
  if (!config) return check_problems({{Problem::Severity::error, config.error().message}});
  for (const auto& option : core_schema()) {
    if (!option.is_ignored && option.key.find("[]") == option.key.npos) check_setting(config->core, option);
  }
  const auto path = database_path(config->core);
  require(!path.starts_with(' ') && !path.ends_with(' '), "the database's path has no spaces around it", path);
  std::vector<std::string> names;
  for (const auto& entry : config->modules) {
    if (!entry.enabled) continue;
    require(!entry.name.empty() && !entry.library.empty(), "a module in the list can be looked for", entry.name);
    require(std::find(names.begin(), names.end(), entry.name) == names.end(), "a module is listed once", entry.name);
    names.push_back(entry.name);
  }
}

/// Trying every length for every star; for short texts.
bool matches_slowly(std::string_view name, std::string_view pattern) {
  if (pattern.empty()) return name.empty();
  if (pattern.front() != '*') return !name.empty() && name.front() == pattern.front() && matches_slowly(name.substr(1), pattern.substr(1));
  for (std::size_t length = 0; length <= name.size(); ++length)
    if (matches_slowly(name.substr(length), pattern.substr(1))) return true;
  return false;
}

void check_pattern(std::string_view text) {
  const auto middle = text.size() / 2;
  const auto name = text.substr(0, middle), pattern = text.substr(middle);
  require(matches_pattern(name, pattern) == matches_slowly(name, pattern), "a pattern matches what its stars can stand for", text);
}

/// Includes that lead out of the folder would read whatever this machine has there.
bool may_leave_folder(std::string_view text) { return text.find('!') != text.npos && text.find('/') != text.npos; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scratch scratch;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.size() <= 24) check_pattern(text);
  if (may_leave_folder(text)) return 0;
  const auto file = write_files(scratch, text);
  std::vector<Problem> problems;
  const auto tree = load_yaml(file, problems);
  check_problems(problems);
  if (!tree) {
    check_problems({{Problem::Severity::error, tree.error().message}});
    return 0;
  }
  check_tree(*tree, 0);
  check_problems(check(*tree, core_schema(), "gorgonecore"));
  check_agent_config(file);
  return 0;
}
