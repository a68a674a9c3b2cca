#pragma once
// At most so many at a time, the others wait in the order they came. Lives on the loop.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

namespace gorgone::action {

class Gate {
 public:
  /// At most so many wait, and what they hold comes to no more than so many bytes, unless one alone holds more.
  Gate(boost::asio::io_context& loop, std::size_t inside_max, std::size_t waiting_max, std::size_t waiting_bytes_max = SIZE_MAX)
      : loop_(loop), inside_max_(inside_max), waiting_max_(waiting_max), waiting_bytes_max_(waiting_bytes_max) {}

  /// The right to be inside; leaves when it dies. The gate outlives it.
  class Pass {
   public:
    explicit Pass(Gate* gate) : gate_(gate) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    Gate* gate_;
  };

  /// True where one more, which holds so many bytes, could not even wait.
  bool is_full(std::size_t bytes = 0) const {
    return inside_ >= inside_max_ &&
           (waiting_.size() >= waiting_max_ || (!waiting_.empty() && waiting_bytes_ + bytes > waiting_bytes_max_));
  }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t waiting_bytes() const { return waiting_bytes_; }

  /// Waits for its turn; is_full() is the caller's question.
  boost::asio::awaitable<Pass> enter(std::size_t bytes = 0);

 private:
  /// Its turn comes with the loop's next steps, behind those let in before it.
  struct Waiter {
    Waiter(boost::asio::io_context& loop, std::size_t bytes_held)
        : timer(loop, boost::asio::steady_timer::time_point::max()), bytes(bytes_held) {}
    boost::asio::steady_timer timer;
    std::size_t bytes;
    bool is_let_in = false;
  };

  void leave();
  void let_in();

  boost::asio::io_context& loop_;
  std::size_t inside_max_, waiting_max_, waiting_bytes_max_, inside_ = 0, waiting_bytes_ = 0;
  std::size_t waking_ = 0;  // of those inside: let in, and not yet gone on
  std::deque<std::shared_ptr<Waiter>> waiting_;
};

}  // namespace gorgone::action
