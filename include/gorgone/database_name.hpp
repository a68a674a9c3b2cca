#pragma once
// Where the journal lies, as gorgonecore.gorgone_db_name says it.

#include <gorgone/config.hpp>

#include <string>
#include <string_view>

namespace gorgone {

/// The path in "dbname=/path[;…]", as deployed configurations have it; a text without dbname= is a path itself.
inline std::string path_in_database_name(std::string_view name) {
  constexpr std::string_view key = "dbname=";
  if (const auto at = name.find(key); at != name.npos)
    name = name.substr(at + key.size(), name.find(';', at + key.size()) - at - key.size());
  const auto begin = name.find_first_not_of(' ');
  if (begin == name.npos) return {};
  return std::string(name.substr(begin, name.find_last_not_of(' ') + 1 - begin));
}

/// The journal's file, from the whole configuration below `gorgone`.
inline std::string journal_path(const ConfigValue& gorgone) {
  const auto* core = gorgone.find("gorgonecore");
  const auto* name = core ? core->find("gorgone_db_name") : nullptr;
  return name ? path_in_database_name(name->scalar) : "/var/lib/centreon-gorgone/history.sdb";
}

/// The folder that it lies in: there the daemon may write.
inline std::string journal_folder(const ConfigValue& gorgone) {
  const auto path = journal_path(gorgone);
  const auto slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash);
}

}  // namespace gorgone
