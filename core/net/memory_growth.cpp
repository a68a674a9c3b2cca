#include "core/net/memory_growth.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace gorgone::net {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Their heaps are their own, and the C library's says nothing.
constexpr bool heap_tells = false;
#else
constexpr bool heap_tells = true;
#endif

std::uint64_t used() {
  const auto heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

}  // namespace

MemoryGrowth::MemoryGrowth() : statm_(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) { begin(); }

MemoryGrowth::~MemoryGrowth() {
  if (statm_ >= 0) ::close(statm_);
}

void MemoryGrowth::begin() {
  written_ = written();
  used_ = used();
}

// Pages that are resident, but for those that others may share.
std::uint64_t MemoryGrowth::written() const {
  std::array<char, 128> text{};
  if (statm_ < 0 || ::pread(statm_, text.data(), text.size() - 1, 0) <= 0) return 0;
  unsigned long size = 0, resident = 0, shared = 0;
  if (std::sscanf(text.data(), "%lu %lu %lu", &size, &resident, &shared) != 3 || resident < shared) return 0;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return (resident - shared) * page;
}

std::uint64_t MemoryGrowth::measure(std::uint64_t enough) {
  const auto now = written();
  written_ = std::min(written_, now);
  const auto grown = now - written_;
  if (grown <= enough || !heap_tells) return grown;
  const auto in_use = used();
  used_ = std::min(used_, in_use);
  return std::min(grown, in_use - used_);
}

}  // namespace gorgone::net
