#include "core/net/memory_growth.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();  // GCC comes without its header
#endif

namespace gorgone::net {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Their heaps are their own, and the C library's says nothing.
std::uint64_t used() { return __sanitizer_get_current_allocated_bytes(); }
#else
std::uint64_t used() {
  const auto heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}
#endif

}  // namespace

void MemoryGrowth::begin() {
  written_ = resident_.bytes();
  used_ = used();
}

std::uint64_t MemoryGrowth::measure(std::uint64_t enough) {
  const auto now = resident_.bytes();
  written_ = std::min(written_, now);
  const auto grown = now - written_;
  if (grown <= enough) return grown;
  const auto in_use = used();
  used_ = std::min(used_, in_use);
  return std::min(grown, in_use - used_);
}

}  // namespace gorgone::net
