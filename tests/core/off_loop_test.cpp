#include "core/host/off_loop.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <memory>
#include <thread>

using namespace gorgone;

TEST_CASE("what work beside the loop holds is destroyed on the loop, whoever else has held it") {
  boost::asio::io_context loop;
  boost::asio::thread_pool pool{1};
  std::thread::id ran, destroyed, ended;
  auto held = std::shared_ptr<int>(new int(1), [&destroyed](int* number) {
    destroyed = std::this_thread::get_id();
    delete number;
  });
  run_off_loop(
      loop, pool, [&ran, held = std::move(held)] { ran = std::this_thread::get_id(); }, [&ended] { ended = std::this_thread::get_id(); },
      {std::chrono::minutes(1), [] {}});
  pool.join();
  loop.run();
  CHECK(ran != std::this_thread::get_id());
  CHECK(destroyed == std::this_thread::get_id());
  CHECK(ended == std::this_thread::get_id());
}

TEST_CASE("work that runs for long is told once while it runs, and what waits behind it is not") {
  boost::asio::io_context loop;
  boost::asio::thread_pool pool{1};
  std::promise<void> goes_on;
  int told = 0, told_of_others = 0, ended = 0;
  const auto one_ended = [&] { ++ended; };
  run_off_loop(loop, pool, [&] { goes_on.get_future().wait(); }, one_ended, {std::chrono::milliseconds(20), [&] { ++told; }});
  run_off_loop(loop, pool, [] {}, one_ended, {std::chrono::milliseconds(20), [&] { ++told_of_others; }});
  loop.run_for(std::chrono::milliseconds(200));
  CHECK(told == 1);
  CHECK(ended == 0);
  goes_on.set_value();
  pool.join();
  loop.run();
  CHECK(told == 1);
  CHECK(told_of_others == 0);
  CHECK(ended == 2);
}
