#include <gorgone/database.hpp>

#include <algorithm>

namespace gorgone {

std::optional<std::size_t> DatabaseTable::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) return {};
  return static_cast<std::size_t>(found - columns.begin());
}

}  // namespace gorgone
