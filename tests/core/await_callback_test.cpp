#include <gorgone/await_callback.hpp>
#include <gorgone/result.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace gorgone {
namespace {

namespace asio = boost::asio;

template <class Start>
std::string told_by(asio::io_context& loop, Start start) {
  std::string told = "nothing";
  auto wait = [&told, &start]() -> asio::awaitable<void> {
    auto result = co_await await_callback<Result<std::string>>(start);
    told = result ? *result : result.error().message;
  };
  asio::co_spawn(loop, wait, [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);
  });
  loop.run();
  return told;
}

TEST_CASE("a coroutine gets what its callback is told, at once or later, a value or an Error") {
  asio::io_context loop;
  CHECK(told_by(loop, [](auto done) { done(std::string("at once")); }) == "at once");
  loop.restart();
  CHECK(told_by(loop, [&loop](auto done) { asio::post(loop, [done] { done(std::string("later")); }); }) == "later");
  loop.restart();
  std::function<void(Result<std::string>)> kept;  // as a function that keeps its callback does
  CHECK(told_by(loop, [&loop, &kept](auto done) {
          kept = done;
          asio::post(loop, [&kept] { kept(Error{"refused"}); });
        }) == "refused");
}

TEST_CASE("a coroutine waits for a callback as long as it was told, and what comes later does no harm") {
  asio::io_context loop;
  std::function<void(int)> kept;
  std::optional<int> first = 0, second, third = 0;
  auto wait = [&]() -> asio::awaitable<void> {
    auto never = [&kept](auto done) { kept = done; };
    first = co_await await_callback_for<int>(std::chrono::milliseconds(20), never);
    kept(1);
    auto at_once = [](auto done) { done(2); };
    second = co_await await_callback_for<int>(std::chrono::seconds(600), at_once);
    auto later = [&loop](auto done) { asio::post(loop, [done] { done(3); }); };
    third = co_await await_callback_for<int>(std::chrono::seconds(600), later);
  };
  asio::co_spawn(loop, wait, [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);
  });
  loop.run();
  CHECK_FALSE(first.has_value());
  CHECK(second == 2);
  CHECK(third == 3);
}

}  // namespace
}  // namespace gorgone
