#include <filesystem>

namespace gorgone::test {

std::filesystem::path source_directory();  // core/vectors.hpp

std::filesystem::path source_directory() { return GORGONE_SOURCE_DIRECTORY; }

}  // namespace gorgone::test
