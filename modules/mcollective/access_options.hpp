#pragma once
// The options of access_schema() as plain values.

#include "access_table.hpp"

namespace gorgone::mcollective {

struct AccessOptions {
  AccessRules rules;
  AccessPaths paths;
};
/// Of settings that have been checked.
AccessOptions read_access_options(const Settings& settings);

}  // namespace gorgone::mcollective
