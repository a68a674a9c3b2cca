#include "core/mapped_files.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace gorgone {
namespace {

struct Mapping {
  std::uintptr_t begin = 0, end = 0;
  bool is_clean = false;
};

// "7f52c2a00000-7f52c2a28000 r-xp 00000000 fd:01 1234   /usr/lib/…": false for the lines about its pages that follow.
bool read_head(const std::string& line, Mapping& mapping) {
  unsigned long begin = 0, end = 0;
  char rights[5] = {}, path[2] = {};
  const auto count = std::sscanf(line.c_str(), "%lx-%lx %4s %*s %*s %*s %1s", &begin, &end, rights, path);
  if (count < 3) return false;
  mapping = {begin, end, rights[0] == 'r' && rights[1] == '-' && rights[3] == 'p' && path[0] == '/'};
  return true;
}

}  // namespace

void unmap_clean_pages() {
  std::ifstream list("/proc/self/smaps");
  Mapping mapping;
  for (std::string line; std::getline(list, line);) {
    if (read_head(line, mapping)) continue;
    unsigned long own_kb = 0;
    if (!mapping.is_clean || std::sscanf(line.c_str(), "Anonymous: %lu", &own_kb) != 1) continue;
    if (own_kb == 0)
      ::madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_DONTNEED);  // refused: nothing is lost
  }
}

}  // namespace gorgone
