#pragma once
// By how much the memory of this process has grown since a moment before. Both must have grown: what is written to, for a frame that was
// only announced takes room and no memory, and what the heap has handed out, for memory that is free again stays with the process for some
// seconds. Any thread, one at a time.

#include <cstdint>

#include "core/resident_memory.hpp"

namespace gorgone::net {

class MemoryGrowth {
 public:
  MemoryGrowth() { begin(); }

  /// Bytes since begin(), or since there was less. Cheap up to `enough`, and not exact.
  std::uint64_t measure(std::uint64_t enough);
  void begin();

 private:
  ResidentMemory resident_;
  std::uint64_t written_ = 0, used_ = 0;
};

}  // namespace gorgone::net
