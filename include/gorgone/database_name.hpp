#pragma once
// Where the journal lies, as gorgonecore.gorgone_db_name says it.

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

}  // namespace gorgone
