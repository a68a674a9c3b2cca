#pragma once
// How much slower than a plain build the program under test is: GORGONE_TEST_SLOWNESS, as in tests/system/pace.py. Limits of waiting are
// multiplied by it.

#include <algorithm>
#include <cstdlib>

namespace gorgone::test {

inline int slowness() {
  const char* given = std::getenv("GORGONE_TEST_SLOWNESS");
  return given ? std::max(1, std::atoi(given)) : 1;
}

}  // namespace gorgone::test
