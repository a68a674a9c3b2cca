#include "core/heap_trimmer.hpp"

#include <malloc.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>

namespace gorgone {
namespace {

constexpr auto pause = std::chrono::seconds(3);
constexpr std::size_t worth_it = std::size_t{8} << 20;

}  // namespace

void HeapTrimmer::start() {
  timer_.expires_after(pause);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto free = mallinfo2().fordblks;
    known_ = std::min(known_, free);
    if (free - known_ > worth_it) {
      known_ = free;
      boost::asio::post(pool_, [] { malloc_trim(0); });
    }
    start();
  });
}

}  // namespace gorgone
