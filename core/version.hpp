#pragma once

#include <gorgone/export.hpp>

namespace gorgone {

/// The project's version, such as "1.2.3"; the build sets it once for the library and both programs.
GORGONE_API const char* version();

}  // namespace gorgone
