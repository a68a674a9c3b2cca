#pragma once
// Gives memory back: once when the daemon has started, and whenever a burst has left free what lies between blocks that live on; glibc by
// itself returns only the end of its heaps. Looks every few seconds, on the loop; the work is done on the pool, which ends before this, and
// only where much is free and the process has grown. What the heap counts as free cannot tell: it goes on counting what was given back.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstdint>

#include "core/resident_memory.hpp"

namespace gorgone {

class MemoryTrimmer {
 public:
  MemoryTrimmer(boost::asio::io_context& loop, boost::asio::thread_pool& pool) : pool_(pool), timer_(loop) {}

  void start();

 private:
  void wait();
  void trim();

  boost::asio::thread_pool& pool_;
  boost::asio::steady_timer timer_;
  ResidentMemory resident_;
  std::uint64_t known_ = 0;  // the least there was in memory since some was given back
};

}  // namespace gorgone
