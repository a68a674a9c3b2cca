#include "signal.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <utility>

namespace gorgone::legacycmd {

boost::asio::awaitable<bool> Signal::wait(Clock::time_point deadline) {
  auto waiter = std::make_shared<Waiter>(loop_);
  waiter->timer.expires_at(deadline);
  waiters_.push_back(waiter);
  boost::system::error_code error;
  co_await waiter->timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, error));
  if (waiter->is_notified) co_return true;
  waiters_.remove(waiter);
  if (error) throw boost::system::system_error(error);
  co_return false;
}

void Signal::notify() {
  for (const auto& waiter : std::exchange(waiters_, {})) {
    waiter->is_notified = true;
    waiter->timer.cancel();
  }
}

}  // namespace gorgone::legacycmd
