#pragma once
// How many bytes of bulk may be on their way to a node and not answered: as many as keep the link busy, and few enough that a command
// behind them is not late. It grows while answers come about as fast as the fastest did on that connection. Pure.

#include <chrono>
#include <cstddef>
#include <optional>

namespace gorgone::proxy {

class BulkWindow {
 public:
  using Duration = std::chrono::steady_clock::duration;

  explicit BulkWindow(std::size_t least) : least_(least), bytes_(least) {}

  std::size_t bytes() const { return bytes_; }
  /// The answer to `size` bytes came so long after they were sent.
  void answered(std::size_t size, Duration took);
  /// Another connection: another path, perhaps.
  void reset() { *this = BulkWindow(least_); }

 private:
  std::size_t least_, bytes_;
  std::optional<Duration> fastest_;
};

}  // namespace gorgone::proxy
