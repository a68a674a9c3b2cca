#pragma once
// Whether the clock on the wall can be believed when it says that something is old. Has no clock of its own; times are in seconds.

#include <cstdint>
#include <limits>
#include <optional>

namespace gorgone::dbcleaner {

constexpr std::int64_t clock_jump_s_max = 3600, clock_believed_after_s = 86400;

/// A clock that was put forward makes everything old at once. It is believed when it has stayed there for a day.
class ClockGuard {
 public:
  /// `steady` is of a clock that nobody sets.
  bool is_sound(std::int64_t wall, std::int64_t steady) {
    const auto offset = wall - steady;
    put_forward_s_ = offset - offset_;
    if (put_forward_s_ > clock_jump_s_max && !jumped_at_) jumped_at_ = steady;
    if (put_forward_s_ > clock_jump_s_max && steady < *jumped_at_ + clock_believed_after_s) return false;
    offset_ = offset;
    jumped_at_.reset();
    return true;
  }

  /// By so much, when it was looked at last.
  std::int64_t put_forward_s() const { return put_forward_s_; }

 private:
  std::int64_t offset_ = std::numeric_limits<std::int64_t>::max() / 2;  // from the steady one; at the start any is taken
  std::int64_t put_forward_s_ = 0;
  std::optional<std::int64_t> jumped_at_;
};

}  // namespace gorgone::dbcleaner
