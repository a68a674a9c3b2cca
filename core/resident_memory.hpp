#pragma once
// What this process has in memory and shares with nobody, as the kernel counts it: free blocks of the heap are in it until they are given
// back. Any thread, one at a time.

#include <cstdint>

namespace gorgone {

class ResidentMemory {
 public:
  ResidentMemory();
  ~ResidentMemory();
  ResidentMemory(const ResidentMemory&) = delete;

  /// 0 where the kernel does not tell.
  std::uint64_t bytes() const;

 private:
  int statm_;
};

}  // namespace gorgone
