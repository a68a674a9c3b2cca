#pragma once
// Gives memory back that a burst has left free between blocks that live on; glibc by itself returns only what lies at the end of its heaps.
// Looks every few seconds, on the loop; the work is done on the pool, and only where much is free that was not before.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstddef>

namespace gorgone {

class HeapTrimmer {
 public:
  HeapTrimmer(boost::asio::io_context& loop, boost::asio::thread_pool& pool) : pool_(pool), timer_(loop) {}

  void start();
  void stop() { timer_.cancel(); }

 private:
  boost::asio::thread_pool& pool_;
  boost::asio::steady_timer timer_;
  std::size_t known_ = 0;  // bytes that were free and given back already: they go on being counted as free
};

}  // namespace gorgone
