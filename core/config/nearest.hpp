#pragma once
// The known name that a mistyped one is likely meant to be. Pure, on any thread.

#include <string>
#include <string_view>
#include <vector>

namespace gorgone {

/// The name among `known` with the fewest letters to change, empty where none is near. Case does not count.
std::string nearest(std::string_view name, const std::vector<std::string>& known);

/// `PATH: unknown option (WHERE); did you mean "NEAREST"?`, without the question where nothing is near.
std::string unknown_option(std::string_view path, std::string_view where, std::string_view name, const std::vector<std::string>& known);

}  // namespace gorgone
