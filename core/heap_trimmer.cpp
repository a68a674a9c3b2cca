#include "core/heap_trimmer.hpp"

#include <malloc.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>

namespace gorgone {
namespace {

constexpr auto pause = std::chrono::seconds(3);
constexpr std::uint64_t worth_it = 2 << 20;

}  // namespace

void HeapTrimmer::start() {
  known_ = resident_.bytes();
  wait();
}

void HeapTrimmer::wait() {
  timer_.expires_after(pause);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto resident = resident_.bytes();
    known_ = std::min(known_, resident);
    if (resident - known_ > worth_it && mallinfo2().fordblks > worth_it)
      trim();
    else
      wait();
  });
}

void HeapTrimmer::trim() {
  boost::asio::post(pool_, [this] {
    malloc_trim(0);
    // At once: what comes after it is growth again.
    boost::asio::post(timer_.get_executor(), [this, resident = ResidentMemory().bytes()] {
      known_ = resident;
      wait();
    });
  });
}

}  // namespace gorgone
