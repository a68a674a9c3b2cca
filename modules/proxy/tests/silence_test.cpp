#include "silence.hpp"

#include <catch2/catch.hpp>

using gorgone::proxy::Silence;

TEST_CASE("a few nodes that dial are pinged after 7 s of silence, thousands so that 200 are each second") {
  Silence silence;
  CHECK(silence.ping_after_s() == 7);
  CHECK(silence.mute_after_s() == 13);
  for (int i = 0; i < 1400; ++i) silence.joined();
  CHECK(silence.ping_after_s() == 7);
  for (int i = 1400; i < 5000; ++i) silence.joined();
  CHECK(silence.ping_after_s() == 25);
  CHECK(silence.mute_after_s() == 31);
  for (int i = 0; i < 4000; ++i) silence.left();
  CHECK(silence.ping_after_s() == 7);
}
