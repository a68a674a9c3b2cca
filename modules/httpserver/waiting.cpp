#include "waiting.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace gorgone::httpserver {

Stopping::Hook::Hook(Stopping& stopping, std::function<void()> run)
    : stopping_(stopping), place_(stopping.hooks_.insert(stopping.hooks_.end(), std::move(run))) {}

Stopping::Hook::~Hook() { stopping_.hooks_.erase(place_); }

void Stopping::ask() {
  asked_ = true;
  for (auto& hook : hooks_) hook();
}

Event::Event(asio::io_context& loop, Stopping& stopping) : timer_(loop), hook_(stopping, [this] { ring(); }) {}

void Event::ring() {
  has_rung_ = true;
  timer_.cancel();
}

asio::awaitable<void> Event::wait_until(Clock::time_point limit) {
  if (!has_rung_) {
    timer_.expires_at(limit);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  has_rung_ = false;
}

Deadline::Deadline(asio::ip::tcp::socket& socket)
    : socket_(socket), timer_(socket.get_executor()), state_(std::make_shared<State>(State::unset)) {}

Deadline::~Deadline() { *state_ = State::unset; }

void Deadline::set(Clock::duration from_now, AtLimit at_limit) {
  at_limit_ = at_limit;
  // Each limit has a state of its own: a handler of the one before may be on its way already.
  *state_ = State::unset;
  state_ = std::make_shared<State>(State::set);
  timer_.expires_after(from_now);
  timer_.async_wait([this, state = state_](boost::system::error_code error) {
    if (!error && *state == State::set) expire();
  });
}

void Deadline::clear() {
  *state_ = State::unset;
  timer_.cancel();
}

void Deadline::expire() {
  *state_ = State::expired;
  boost::system::error_code ignored;
  if (at_limit_ == AtLimit::shut_down) socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.cancel(ignored);
}

Undecided::Entry::Entry(Undecided& all, std::function<void()> give_way)
    : all_(all), give_way_(std::move(give_way)), place_(all.entries_.insert(all.entries_.end(), this)) {}

Undecided::Entry::~Entry() {
  if (place_ != all_.entries_.end()) all_.entries_.erase(place_);
}

bool Undecided::make_room() {
  if (entries_.empty()) return false;
  auto* first = entries_.front();
  entries_.pop_front();
  first->place_ = entries_.end();
  first->give_way_();
  return true;
}

asio::awaitable<bool> is_cancelled() {
  auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace gorgone::httpserver
