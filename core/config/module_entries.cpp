#include <fmt/format.h>
#include <fmt/ranges.h>
#include <core/config/agent_config.hpp>
#include <core/config/scalars.hpp>
#include <gorgone/log.hpp>

#include <algorithm>
#include <optional>

namespace gorgone {

namespace {

using Entry = AgentConfig::ModuleEntry;
using Kind = ConfigValue::Kind;

constexpr std::string_view package_form = "gorgone::modules::<area>::<name>::hooks";

void warn(std::vector<Problem>& problems, std::string message) { problems.push_back({Problem::Severity::warning, std::move(message)}); }

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// The host's keys; what else stands in an entry is the module's.
const Schema& entry_schema() {
  static const Schema schema = {
      Option{"name", OptionType::text, "", "the module's name"}.required(),
      Option{"package", OptionType::text, "", "the deployed daemon's package"},
      Option{"library", OptionType::path, "", "the shared object"},
      Option{"enable", OptionType::boolean, "", "whether the module is loaded"},
  };
  return schema;
}

bool is_of_this_daemon_alone(std::string_view package) {
  const auto library = library_of_package(package);
  return library == "content" || library == "mcollective";
}

// With a package as deployed daemons have it, which load nothing that does not say so, and whatever says anything but `false`.
bool is_enabled(const Settings& settings, const std::string& path, std::vector<Problem>& problems) {
  const ConfigValue* enable = settings.raw("enable");
  const bool is_ours = !settings.has("package") || settings.has("library") || is_of_this_daemon_alone(settings.text("package"));
  if (enable == nullptr) {
    if (!is_ours)
      warn(problems,
           fmt::format("{}.enable: missing ({}): the entry is passed over, as deployed daemons do; expected \"enable: true\" where the "
                       "module is to be loaded",
                       path, settings.where("enable").text()));
    return is_ours;
  }
  // What is no boolean is told by the check.
  const bool is_on = read_boolean(enable->scalar).value_or(true);
  if (!is_on && !is_ours && enable->scalar != "false")
    warn(problems,
         fmt::format("{}.enable: got \"{}\" ({}), which is taken as false, while deployed daemons load the module; expected true or false",
                     path, printable(enable->scalar), enable->where.text()));
  return is_on;
}

std::optional<Entry> entry_of(const ConfigValue& value, const std::string& path, std::vector<Problem>& problems) {
  std::vector<std::string> module_options;
  for (const auto& [name, option] : value.map) module_options.push_back(name);
  const std::vector<Problem> found = check(value, entry_schema(), path, module_options);
  problems.insert(problems.end(), found.begin(), found.end());
  const std::shared_ptr<const Schema> schema(&entry_schema(), [](const Schema*) {});
  const Settings settings(schema, std::make_shared<const ConfigValue>(value));
  Entry entry{
      settings.text("name"), settings.text("package"), settings.text("library"), is_enabled(settings, path, problems), value, value.where};
  if (entry.name.empty()) return std::nullopt;
  if (entry.library.empty()) entry.library = entry.package.empty() ? entry.name : library_of_package(entry.package);
  if (entry.library.empty() && entry.enabled) {
    problems.push_back({Problem::Severity::error,
                        fmt::format("modules.{}.package: got \"{}\" ({}), expected {}, or the key library", printable(entry.name),
                                    printable(entry.package), settings.where("package").text(), package_form)});
    return std::nullopt;
  }
  return entry;
}

}  // namespace

const std::vector<std::string>& module_keys() {
  static const std::vector<std::string> keys = {"name", "package", "library", "enable"};
  return keys;
}

std::string library_of_package(std::string_view package) {
  constexpr std::string_view begin = "gorgone::modules::", end = "::hooks", between = "::";
  if (!package.starts_with(begin) || !package.ends_with(end) || package.size() <= begin.size() + end.size()) return {};
  package.remove_prefix(begin.size());
  package.remove_suffix(end.size());
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= package.size();) {
    const std::size_t next = std::min(package.find(between, at), package.size());
    parts.emplace_back(package.substr(at, next - at));
    if (!is_word(parts.back())) return {};
    at = next + between.size();
  }
  if (parts.size() < 2) return {};
  const std::string name = fmt::format("{}", fmt::join(parts.begin() + 1, parts.end(), "-"));
  return name == "httpserverng" ? "httpserver" : name;
}

std::vector<Entry> module_entries(const ConfigValue& modules, std::vector<Problem>& problems) {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < modules.list.size(); ++i) {
    const ConfigValue* name = modules.list[i].find("name");
    const bool is_named = name != nullptr && name->kind == Kind::scalar && !name->scalar.empty();
    std::optional<Entry> entry =
        entry_of(modules.list[i], is_named ? "modules." + printable(name->scalar) : fmt::format("modules[{}]", i), problems);
    if (!entry) continue;
    // As with deployed daemons: a whitelist of the package's 39-action.yaml is not lost to an entry without one in a later file.
    const auto first = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
      return other.enabled && (other.name == entry->name || other.library == entry->library);
    });
    if (first == entries.end())
      entries.push_back(std::move(*entry));
    else
      warn(problems, fmt::format("modules.{}: the entry at {} has no effect: that at {} {}, and comes first", printable(entry->name),
                                 entry->where.text(), first->where.text(),
                                 first->library == entry->library ? "is of the same module, enabled" : "has the same name, is enabled"));
  }
  return entries;
}

}  // namespace gorgone
