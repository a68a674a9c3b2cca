#include <fmt/format.h>
#include <core/config/agent_config.hpp>
#include <core/config/core_schema.hpp>
#include <core/config/nearest.hpp>
#include <gorgone/database_name.hpp>

#include <algorithm>

namespace gorgone {

namespace {

using Kind = ConfigValue::Kind;

const ConfigValue* under(const ConfigValue& tree, std::string_view key) {
  const ConfigValue* configuration = tree.find("configuration");
  const ConfigValue* found = configuration == nullptr ? nullptr : configuration->find(key);
  return found == nullptr || found->kind == Kind::null ? nullptr : found;
}

void fail(std::vector<Problem>& problems, std::string message) { problems.push_back({Problem::Severity::error, std::move(message)}); }

void check_kind(const ConfigValue* value, Kind kind, const std::string& path, std::vector<Problem>& problems) {
  if (value == nullptr || value->kind == kind || value->kind == Kind::null) return;
  fail(problems,
       fmt::format("{}: wrong kind of value ({}), expected {}", path, value->where.text(), kind == Kind::map ? "a map" : "a list"));
}

void check_gorgone(const ConfigValue& gorgone, std::vector<Problem>& problems) {
  static const std::vector<std::string> known = {"gorgonecore", "modules", "tpapi"};
  for (const auto& [name, value] : gorgone.map) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    problems.push_back({Problem::Severity::warning, unknown_option("gorgone." + name, value.where.text(), name, known)});
  }
  check_kind(gorgone.find("modules"), Kind::list, "gorgone.modules", problems);
  check_kind(gorgone.find("tpapi"), Kind::list, "gorgone.tpapi", problems);
}

// Beside the two maps there are what deployed files say of themselves.
void check_top(const ConfigValue& configuration, std::vector<Problem>& problems) {
  static const std::vector<std::string> known = {"gorgone", "centreon"}, ignored = {"name", "description"};
  for (const auto& [name, value] : configuration.map) {
    if (std::find(known.begin(), known.end(), name) != known.end() || std::find(ignored.begin(), ignored.end(), name) != ignored.end())
      continue;
    problems.push_back({Problem::Severity::warning, unknown_option("configuration." + name, value.where.text(), name, known) +
                                                        "; what a file of config.d holds stands under gorgone: or centreon:"});
  }
}

}  // namespace

const ConfigValue* AgentConfig::gorgone() const { return under(tree, "gorgone"); }

const ConfigValue* AgentConfig::centreon() const { return under(tree, "centreon"); }

Result<AgentConfig> load_agent_config(const std::string& file, std::vector<Problem>& problems) {
  Result<ConfigValue> tree = load_yaml(file, problems);
  if (!tree) return tree.error();
  const ConfigValue* configuration = tree->find("configuration");
  if (configuration == nullptr || configuration->kind == Kind::scalar || configuration->kind == Kind::list) {
    return Error{fmt::format("{}: expected a map under the key \"configuration\" at the top of the file, {}", file,
                             configuration == nullptr ? "there is no such key" : "got something else")};
  }
  check_top(*configuration, problems);
  const ConfigValue* gorgone = under(*tree, "gorgone");
  if (gorgone == nullptr) {
    fail(problems, fmt::format("gorgone: missing ({}), expected a map with gorgonecore and modules", configuration->where.text()));
  } else {
    check_kind(gorgone, Kind::map, "gorgone", problems);
    check_gorgone(*gorgone, problems);
  }
  check_kind(under(*tree, "centreon"), Kind::map, "centreon", problems);

  const ConfigValue* written = gorgone == nullptr ? nullptr : gorgone->find("gorgonecore");
  auto core = std::make_shared<const ConfigValue>(written == nullptr ? ConfigValue() : *written);
  for (Problem& problem : check(*core, core_schema(), "gorgonecore")) problems.push_back(std::move(problem));
  const ConfigValue* list = gorgone == nullptr ? nullptr : gorgone->find("modules");
  std::vector<AgentConfig::ModuleEntry> modules;
  if (list != nullptr) modules = module_entries(*list, problems);
  // The schema lives as long as the process, so nothing is to be freed.
  const std::shared_ptr<const Schema> schema(&core_schema(), [](const Schema*) {});
  return AgentConfig{std::move(*tree), Settings(schema, std::move(core)), std::move(modules)};
}

std::string database_path(const Settings& core) { return path_in_database_name(core.text("gorgone_db_name")); }

}  // namespace gorgone
