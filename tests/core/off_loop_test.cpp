#include "core/host/off_loop.hpp"

#include <catch2/catch.hpp>

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
      loop, pool, [&ran, held = std::move(held)] { ran = std::this_thread::get_id(); }, [&ended] { ended = std::this_thread::get_id(); });
  pool.join();
  loop.run();
  CHECK(ran != std::this_thread::get_id());
  CHECK(destroyed == std::this_thread::get_id());
  CHECK(ended == std::this_thread::get_id());
}
