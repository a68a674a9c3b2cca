#include "../clock_guard.hpp"

#include <catch2/catch.hpp>

using gorgone::dbcleaner::ClockGuard;

namespace {

constexpr std::int64_t hour = 3600, wall = 1'700'000'000, steady = 5000;

}  // namespace

TEST_CASE("any clock is believed at the start, and as long as it goes with the steady one") {
  ClockGuard guard;
  CHECK(guard.is_sound(wall, steady));
  for (std::int64_t passed = hour; passed < 100 * hour; passed += hour) CHECK(guard.is_sound(wall + passed, steady + passed));
}

TEST_CASE("a clock that was put forward is not believed until it has stayed there for a day") {
  ClockGuard guard;
  guard.is_sound(wall, steady);
  const auto ahead = wall + 40 * 24 * hour;
  for (std::int64_t passed = hour; passed < 25 * hour; passed += hour) {
    CHECK_FALSE(guard.is_sound(ahead + passed, steady + passed));
    CHECK(guard.put_forward_s() == 40 * 24 * hour);
  }
  CHECK(guard.is_sound(ahead + 25 * hour, steady + 25 * hour));
  CHECK(guard.is_sound(ahead + 26 * hour, steady + 26 * hour));
}

TEST_CASE("a clock that was put forward and back again is believed at once, and the day begins anew at its next jump") {
  ClockGuard guard;
  guard.is_sound(wall, steady);
  CHECK_FALSE(guard.is_sound(wall + 3 * hour, steady + hour));
  CHECK(guard.is_sound(wall + 20 * hour, steady + 20 * hour));
  CHECK_FALSE(guard.is_sound(wall + 50 * hour, steady + 30 * hour));
}

TEST_CASE("an hour more or less, and a clock that was put back, are believed") {
  ClockGuard guard;
  guard.is_sound(wall, steady);
  CHECK(guard.is_sound(wall + 2 * hour, steady + hour));
  CHECK(guard.is_sound(wall - 1000 * hour, steady + 2 * hour));
  CHECK_FALSE(guard.is_sound(wall, steady + 3 * hour));
}
