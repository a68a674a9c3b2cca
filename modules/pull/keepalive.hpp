#pragma once
// When a node that dials its parent says who it is, pings, and gives the connection up, without I/O. Times are seconds of a steady clock.

#include <gorgone/flow_watch.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace gorgone::pull {

class Keepalive {
 public:
  struct Limits {
    std::int64_t ping_s = 60;
    std::int64_t answer_s = 30;    ///< for anything to come after a ping, once nothing moves any more
    std::int64_t register_s = 60;  ///< as parents of deployed fleets expect it; sooner twice, for one that starts may pass over the first
  };
  struct Due {
    bool registration = false, ping = false, reset = false;
  };

  explicit Keepalive(Limits limits) : limits_(limits) {}

  /// Both are due at once: the parent knows the connection by the registration, and the ping shows that it answers.
  void link_up(std::int64_t now);
  void link_down();
  /// Anything came.
  void heard() { answer_until_.reset(); }
  /// What is to be done now, told once; `flow` is the link's.
  Due on_clock(std::int64_t now, const LinkFlow& flow = {});
  std::optional<std::int64_t> deadline() const;

 private:
  Limits limits_;
  std::size_t registrations_ = 0;  // of this connection
  std::optional<std::int64_t> next_registration_, next_ping_, answer_until_;
  std::int64_t look_ = 0;  // at the line, while an answer is awaited
  FlowWatch flow_;
};

}  // namespace gorgone::pull
