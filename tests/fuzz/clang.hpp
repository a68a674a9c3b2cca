#pragma once
// Included before all else. With libstdc++ 12 clang asks whether a ConfigValue can be made while it is still completing the pairs that
// one holds, and fails; told the answer, it need not ask.

#include <gorgone/config.hpp>

template <>
struct std::__is_implicitly_default_constructible<gorgone::ConfigValue> : std::true_type {};
