#pragma once
// How long a node waits before it tries its central again: longer each time, drawn at random so that many nodes do not come at once.
// Counted from the begin of the attempt before: one that took its time is followed at once. Pure.

#include <algorithm>
#include <chrono>
#include <random>

namespace gorgone::pullwss {

class Pace {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds shortest{500}, longest{4000};

  explicit Pace(std::uint32_t seed) : random_(seed) {}

  /// Between the last step and twice of it.
  Milliseconds next() {
    std::uniform_int_distribution<Milliseconds::rep> draw(step_.count(), 2 * step_.count());
    step_ = std::min(2 * step_, longest / 2);
    return Milliseconds(draw(random_));
  }
  /// The central has taken the node: the next wait is short again.
  void reset() { step_ = shortest; }

 private:
  std::minstd_rand random_;
  Milliseconds step_ = shortest;
};

}  // namespace gorgone::pullwss
