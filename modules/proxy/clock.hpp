#pragma once
// The two clocks in seconds: one that nobody sets, for waiting, and the time of day, for what is told or kept in the journal.

#include <chrono>
#include <cstdint>
#include <ctime>

namespace gorgone::proxy {

inline std::int64_t now_s() {
  using namespace std::chrono;
  return duration_cast<seconds>(steady_clock::now().time_since_epoch()).count();
}

inline std::int64_t wall_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

}  // namespace gorgone::proxy
