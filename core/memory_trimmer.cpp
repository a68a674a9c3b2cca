#include "core/memory_trimmer.hpp"

#include <malloc.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>

#include "core/mapped_files.hpp"

namespace gorgone {
namespace {

constexpr auto pause = std::chrono::seconds(3);
constexpr std::uint64_t worth_it = 2 << 20;

}  // namespace

void MemoryTrimmer::start() {
  timer_.expires_after(pause);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) trim();
  });
}

void MemoryTrimmer::wait() {
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

void MemoryTrimmer::trim() {
  boost::asio::post(pool_, [this] {
    malloc_trim(0);
    unmap_clean_pages();
    // At once: what comes after it is growth again.
    boost::asio::post(timer_.get_executor(), [this, resident = ResidentMemory().bytes()] {
      known_ = resident;
      wait();
    });
  });
}

}  // namespace gorgone
