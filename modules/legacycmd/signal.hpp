#pragma once
// Wakes coroutines that wait for something to have changed. On the loop.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <list>
#include <memory>

namespace gorgone::legacycmd {

class Signal {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Signal(boost::asio::io_context& loop) : loop_(loop) {}

  /// Until notify() or `deadline`; true for the former. Throws operation_aborted where the coroutine is cancelled.
  boost::asio::awaitable<bool> wait(Clock::time_point deadline = Clock::time_point::max());
  void notify();

 private:
  struct Waiter {
    explicit Waiter(boost::asio::io_context& loop) : timer(loop) {}
    boost::asio::steady_timer timer;
    bool is_notified = false;
  };
  boost::asio::io_context& loop_;
  std::list<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace gorgone::legacycmd
