#include "core/mapped_files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace {

constexpr std::size_t page_count = 16;

/// A file of pages of 'f', mapped.
struct Mapped {
  explicit Mapped(int kind) {
    auto name = (std::filesystem::temp_directory_path() / "gorgone-mapped-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    REQUIRE(file >= 0);
    ::unlink(name.c_str());
    const std::string content(size, 'f');
    REQUIRE(::write(file, content.data(), size) == static_cast<ssize_t>(size));
    bytes = static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, kind, file, 0));
    ::close(file);
    REQUIRE(static_cast<void*>(bytes) != MAP_FAILED);
  }
  ~Mapped() { ::munmap(bytes, size); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  void lock() const { REQUIRE(::mprotect(bytes, size, PROT_READ) == 0); }
  bool holds(char what) const { return std::string(bytes, size) == std::string(size, what); }
  /// Of this process, whatever the page cache has.
  std::size_t pages_in_memory() const {
    const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    std::vector<std::uint64_t> entries(page_count);
    const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(bytes) / page * sizeof(std::uint64_t));
    REQUIRE(::pread(pagemap, entries.data(), page_count * sizeof(std::uint64_t), at) > 0);
    ::close(pagemap);
    std::size_t count = 0;
    for (const auto entry : entries) count += entry >> 63;
    return count;
  }

  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), size = page_count * page;
  char* bytes = nullptr;
};

}  // namespace

TEST_CASE("pages that are as in their file are given back, and come again when they are read") {
  Mapped mapped(MAP_PRIVATE);
  mapped.lock();
  CHECK(mapped.holds('f'));
  CHECK(mapped.pages_in_memory() == page_count);
  gorgone::unmap_clean_pages();
  CHECK(mapped.pages_in_memory() == 0);
  CHECK(mapped.holds('f'));
}

TEST_CASE("pages of this process's own stay, also where they may not be written any more") {
  Mapped relocated(MAP_PRIVATE), writable(MAP_PRIVATE), shared(MAP_SHARED);
  relocated.bytes[3] = 'o';
  relocated.lock();
  std::memset(writable.bytes, 'o', writable.size);
  std::memset(shared.bytes, 'o', shared.size);
  gorgone::unmap_clean_pages();
  CHECK(relocated.bytes[3] == 'o');
  CHECK(writable.holds('o'));
  CHECK(shared.holds('o'));
  CHECK(shared.pages_in_memory() == page_count);
}
