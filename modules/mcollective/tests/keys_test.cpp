#include "keys.hpp"

#include <catch2/catch.hpp>

using namespace gorgone::mcollective;

TEST_CASE("the example of Z85's RFC is written and read as it says") {
  const std::string bytes("\x86\x4F\xD2\x6F\xB5\x59\xF7\x5B", 8);
  CHECK(to_z85(bytes) == "HelloWorld");
}
