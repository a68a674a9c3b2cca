#pragma once
// When each of many clients must be looked at next: one ordered set for all of them, so that ten thousand idle ones cost memory and not
// time. On the loop.

#include <chrono>
#include <optional>
#include <set>
#include <utility>

namespace gorgone::mcollective {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

template <class T>
class Deadlines {
 public:
  /// The earlier time holds: who is looked at too early says anew when the next time is.
  void look_at(T& whom, Time at) {
    if (whom.look_at == at || (whom.look_at != Time{} && whom.look_at <= at)) return;
    remove(whom);
    whom.look_at = at;
    times_.emplace(at, &whom);
  }
  void remove(T& whom) {
    if (whom.look_at != Time{}) times_.erase({whom.look_at, &whom});
    whom.look_at = Time{};
  }
  std::optional<Time> next() const { return times_.empty() ? std::nullopt : std::optional(times_.begin()->first); }
  /// One whose time has come, nullptr where there is none. It is not in the set any more.
  T* take(Time now) {
    if (times_.empty() || times_.begin()->first > now) return nullptr;
    T* const whom = times_.begin()->second;
    remove(*whom);
    return whom;
  }

 private:
  std::set<std::pair<Time, T*>> times_;
};

}  // namespace gorgone::mcollective
