#pragma once
// Joins what several included files say. Pure, on any thread.

#include <gorgone/config.hpp>

#include <vector>

namespace gorgone {

/// Lays `from` over `into`: maps are merged deeply, lists appended, a scalar replaces what was there and a null changes
/// nothing. Two kinds that cannot be joined are an error that names both places; what was there stays.
void merge(ConfigValue& into, ConfigValue from, const std::string& key, std::vector<Problem>& problems);

}  // namespace gorgone
