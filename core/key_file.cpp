#include <gorgone/key_file.hpp>

#include "core/wire/rsa.hpp"

namespace gorgone {

std::string key_file_warning(const std::string& file) {
  if (!wire::readable_by_others(file)) return {};
  return "users beyond its owner and its group can read " + file + "; expected mode 0600, or 0640";
}

}  // namespace gorgone
