#pragma once
// Something to wait for, with a limit. Rings are not lost: one that comes while nobody waits ends the next wait at once. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <utility>

namespace gorgone::content {

using Clock = std::chrono::steady_clock;

class Event {
 public:
  explicit Event(asio::io_context& loop) : timer_(loop) {}

  void ring() {
    rung_ = true;
    timer_.cancel();
  }
  /// Returns after ring() or at the limit; false at the limit. A module that stops ends the wait with operation_aborted.
  asio::awaitable<bool> wait_until(Clock::time_point limit) {
    if (!rung_) {
      timer_.expires_at(limit);
      boost::system::error_code ignored;
      auto token = asio::redirect_error(asio::use_awaitable, ignored);
      co_await timer_.async_wait(token);
    }
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
    co_return std::exchange(rung_, false);
  }

 private:
  asio::steady_timer timer_;
  bool rung_ = false;
};

}  // namespace gorgone::content
