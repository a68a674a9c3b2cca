#include "core/version.hpp"

namespace gorgone {

const char* version() { return GORGONE_VERSION; }

}  // namespace gorgone
