#pragma once
// Work beside the loop.

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <functional>

namespace gorgone {

/// Who hears, on the loop and once, that work has run for `after` and goes on.
struct LateWork {
  std::chrono::milliseconds after;
  std::function<void()> tell;
};

/// Runs `work` on the pool, then `done` on the loop. What `work` holds belongs to the loop and is destroyed there: it may be the last that
/// holds it, and an answer that nobody gave is given where it is destroyed. Both live until then. Called on the loop.
void run_off_loop(boost::asio::io_context& loop, boost::asio::thread_pool& pool, std::function<void()> work, std::function<void()> done,
                  LateWork late);

}  // namespace gorgone
