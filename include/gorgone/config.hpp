#pragma once
// The configuration as a tree of values that know where they stand, and the schema it is checked against.

#include <gorgone/export.hpp>
#include <gorgone/json.hpp>
#include <gorgone/result.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gorgone {

/// Where a value was written; line 0 where it has none (values that came as JSON).
struct Where {
  std::string file;
  int line = 0;
  /// "40-gorgoned.yaml:12", or the file's name alone.
  GORGONE_API std::string text() const;
};

/// One value of the configuration. Scalars stay text until the schema says what they are.
struct ConfigValue {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  std::string scalar;
  std::vector<ConfigValue> list;
  std::vector<std::pair<std::string, ConfigValue>> map;  ///< in the order of the file
  Where where;

  /// A member of a map, nullptr where this is no map or has none.
  GORGONE_API const ConfigValue* find(std::string_view key) const;
  GORGONE_API static ConfigValue from_json(const json::value& value, const std::string& source);
};

enum class OptionType {
  text,
  path,
  integer,
  number,
  boolean,   ///< true/false, yes/no, on/off, 1/0, quoted or not
  texts,     ///< a list of scalars; a single scalar is taken as a list of one
  list,      ///< a list of maps; its members are options of their own, with keys such as "nodes[].id"
  map,       ///< a map; its members are options of their own, with keys such as "auth.user"
  anything,  ///< taken as it is, unchecked
};

/// One line of a schema. Keys are paths: "port", "auth.user", "nodes[].id"; the parents "auth" and "nodes" need no line.
struct Option {
  std::string key;
  OptionType type = OptionType::text;
  std::string standard;  ///< the default as it would be written in YAML; empty: none
  std::string help;      ///< one sentence, ends without a full stop
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
  std::vector<std::string> choices = {};
  std::string unit = {};
  bool is_required = false;
  bool is_secret = false;   ///< its value never appears in a message
  bool is_ignored = false;  ///< known from deployed configurations, without effect here; its key may end in "*"

  Option range(double low, double high) && {
    min = low;
    max = high;
    return std::move(*this);
  }
  Option in(std::string unit_name) && {
    unit = std::move(unit_name);
    return std::move(*this);
  }
  Option one_of(std::vector<std::string> allowed) && {
    choices = std::move(allowed);
    return std::move(*this);
  }
  Option required() && {
    is_required = true;
    return std::move(*this);
  }
  Option secret() && {
    is_secret = true;
    return std::move(*this);
  }
  Option ignored() && {
    is_ignored = true;
    return std::move(*this);
  }
};

using Schema = std::vector<Option>;

/// One thing that is wrong in a configuration. The message names place, key, value, what was expected and the default:
/// `modules.action.command_timeout: got "abc" (40-gorgoned.yaml:12), expected seconds from 1 to 86400 (default 30)`.
struct Problem {
  enum class Severity { warning, error };
  Severity severity = Severity::error;
  std::string message;
};

/// A checked part of the configuration, read through its schema: an absent value gives the schema's default. Asking for a
/// key that is not in the schema, or as another type than it has, is a bug (std::logic_error). Cheap to copy.
class GORGONE_API Settings {
 public:
  /// `values` may be a null value. Values that are wrong give their defaults, so check first.
  Settings(std::shared_ptr<const Schema> schema, std::shared_ptr<const ConfigValue> values, std::string prefix = {});

  bool has(std::string_view key) const;  ///< written in the configuration
  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  std::vector<std::string> texts(std::string_view key) const;
  /// The maps in a list: items("nodes")[0].text("id") is option "nodes[].id".
  std::vector<Settings> items(std::string_view key) const;
  /// The value as written, nullptr where it is absent; for type `anything`.
  const ConfigValue* raw(std::string_view key) const;
  Where where(std::string_view key) const;

 private:
  const Option& option(std::string_view key) const;
  std::optional<std::string> scalar(std::string_view key, OptionType type) const;

  std::shared_ptr<const Schema> schema_;
  std::shared_ptr<const ConfigValue> values_;  // aliases the whole tree
  std::string prefix_;
};

/// Checks `values` against `schema`; `path` ("modules.action") begins the key in each message. Unknown keys are warnings that
/// name the nearest known one; `also_known` lists top-level keys that are somebody else's (name, package, enable).
GORGONE_API std::vector<Problem> check(const ConfigValue& values, const Schema& schema, std::string_view path,
                                       const std::vector<std::string>& also_known = {});

/// Reads a YAML file with its `!include`s. Problems with included files are appended to `problems`; an Error is a file that
/// cannot be read or parsed at all. A list of maps at the top of an included file is taken as a list.
GORGONE_API Result<ConfigValue> load_yaml(const std::string& file, std::vector<Problem>& problems);

}  // namespace gorgone
