#include "gate.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>

namespace gorgone::action {

boost::asio::awaitable<Gate::Pass> Gate::enter(std::size_t bytes) {
  if (inside_ < inside_max_ && waiting_.empty() && waking_ == 0) {
    ++inside_;
    co_return Pass(this);
  }
  auto waiter = std::make_shared<Waiter>(loop_, bytes);
  waiting_.push_back(waiter);
  waiting_bytes_ += bytes;
  let_in();
  boost::system::error_code error;
  auto token = boost::asio::redirect_error(boost::asio::use_awaitable, error);
  if (waiter->is_let_in)
    co_await boost::asio::post(loop_, token);
  else
    co_await waiter->timer.async_wait(token);
  if (waiter->is_let_in) {
    --waking_;
    co_return Pass(this);
  }
  waiting_bytes_ -= bytes;
  waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), waiter), waiting_.end());
  throw boost::system::system_error(boost::asio::error::operation_aborted);
}

void Gate::leave() {
  --inside_;
  let_in();
}

void Gate::let_in() {
  while (inside_ < inside_max_ && !waiting_.empty()) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= next->bytes;
    next->is_let_in = true;
    ++inside_;  // here, so that nobody passes it before it wakes
    ++waking_;
    next->timer.cancel();
  }
}

}  // namespace gorgone::action
