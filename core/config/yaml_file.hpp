#pragma once
// YAML files with their includes, on any thread; config.hpp has the entry, load_yaml(). All that one load may cost is bounded.

#include <gorgone/config.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace gorgone {

/// What one load has used up, over all its files.
struct YamlBudget {
  static constexpr std::size_t nodes_max = 1'000'000;  ///< values, counting what aliases repeat
  static constexpr std::size_t files_max = 10'000;
  static constexpr std::size_t depth_max = 100;  ///< levels of lists, maps and includes
  static constexpr std::size_t bytes_max = 64 * 1024 * 1024;
  std::size_t nodes = 0;
  std::size_t files = 0;
};

/// Reads one file and those it includes. For one load.
class YamlLoader {
 public:
  explicit YamlLoader(std::vector<Problem>& problems) : problems_(problems) {}
  Result<ConfigValue> load(const std::string& file, std::size_t depth = 0);

 private:
  ConfigValue include(const std::string& patterns, const Where& where, std::size_t depth);
  void include_file(ConfigValue& into, const std::string& file, const Where& where, std::size_t depth);
  std::vector<std::string> files_of(const std::string& pattern, const Where& where);
  Result<std::string> read(const std::string& file);
  void report(Problem::Severity severity, const Where& where, const std::string& message);

  std::vector<Problem>& problems_;
  YamlBudget budget_;
  std::vector<std::pair<std::string, std::string>> chain_;  // files being read: where they are, as they were named
};

/// A short text of YAML, such as a default in a schema; throws std::logic_error where it is none.
ConfigValue parse_yaml_text(const std::string& text);

/// Whether `name` is matched by `pattern`, in which each `*` stands for any run of characters.
bool matches_pattern(std::string_view name, std::string_view pattern);

}  // namespace gorgone
