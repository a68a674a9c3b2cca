#pragma once
// How long nodes of our own may be silent: nothing but an answer tells that a node is there and does not hang, so it is pinged when nothing
// came from it for some seconds. For thousands of them that would be most of what an idle central does, so the more there are, the
// more rarely each is pinged. One for all nodes; pure. Times are seconds.

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gorgone::proxy {

class Silence {
 public:
  static constexpr std::int64_t ping_after_s_min = 7;
  static constexpr std::size_t pings_per_s = 200;  // a ping and its pong take 0.1 ms
  /// One that hangs is told as mute so long after the ping, and its link is given up after the usual three pings, for a large message on
  /// a slow line is silence too.
  static constexpr std::int64_t answer_s = 6;

  void joined() { ++nodes_; }
  void left() { --nodes_; }

  std::int64_t ping_after_s() const { return std::max(ping_after_s_min, static_cast<std::int64_t>(nodes_ / pings_per_s)); }
  std::int64_t mute_after_s() const { return ping_after_s() + answer_s; }

 private:
  std::size_t nodes_ = 0;
};

}  // namespace gorgone::proxy
