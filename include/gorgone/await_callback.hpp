#pragma once
// From a function that tells its result to a callback to a coroutine that waits for it.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

namespace gorgone {

/// Calls `start(done)` and returns what `done` is called with, an R: once, on the loop, within start or later. `done` may be copied.
/// Whoever lets go of it without a call leaves the coroutine waiting until it is destroyed.
template <class R, class Start>
boost::asio::awaitable<R> await_callback(Start start) {
  namespace asio = boost::asio;
  struct State {
    std::optional<R> told;
    bool is_starting = true;
  };
  auto state = std::make_shared<State>();
  auto initiate = [start = std::move(start), state](auto handler) mutable {
    auto executor = asio::get_associated_executor(handler);
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start([state, shared, executor](R told) {
      state->told.emplace(std::move(told));
      if (!state->is_starting) return std::move(*shared)();
      // The coroutine does not wait yet.
      asio::post(executor, [shared] { std::move (*shared)(); });
    });
    state->is_starting = false;
  };
  const auto& token = asio::use_awaitable;
  co_await asio::async_initiate<decltype(asio::use_awaitable) const&, void()>(std::move(initiate), token);
  co_return std::move(*state->told);
}

/// The same, for `limit` at most: nothing where `done` was not called by then; what it is called with later is dropped. Nothing too where
/// the coroutine is cancelled and does not throw for that.
template <class R, class Start>
boost::asio::awaitable<std::optional<R>> await_callback_for(std::chrono::milliseconds limit, Start start) {
  namespace asio = boost::asio;
  struct State {
    explicit State(const asio::any_io_executor& executor) : ready(executor) {}
    asio::steady_timer ready;
    std::optional<R> told;
  };
  auto executor = co_await asio::this_coro::executor;
  auto state = std::make_shared<State>(executor);
  state->ready.expires_after(limit);
  start([state](R told) {
    state->told.emplace(std::move(told));
    state->ready.cancel();
  });
  boost::system::error_code ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  if (!state->told) co_await state->ready.async_wait(token);
  co_return std::exchange(state->told, std::nullopt);
}

}  // namespace gorgone
