#include "core/resident_memory.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace gorgone {

ResidentMemory::ResidentMemory() : statm_(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) {}

ResidentMemory::~ResidentMemory() {
  if (statm_ >= 0) ::close(statm_);
}

std::uint64_t ResidentMemory::bytes() const {
  std::array<char, 128> text{};
  if (statm_ < 0 || ::pread(statm_, text.data(), text.size() - 1, 0) <= 0) return 0;
  unsigned long size = 0, resident = 0, shared = 0;
  if (std::sscanf(text.data(), "%lu %lu %lu", &size, &resident, &shared) != 3 || resident < shared) return 0;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return (resident - shared) * page;
}

}  // namespace gorgone
