#include "progress_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace gorgone::engine {
namespace {

// Before the system call that follows, and after the one before.
void store(std::uint64_t& place, std::size_t value) { std::atomic_ref(place).store(value, std::memory_order_seq_cst); }

}  // namespace

void ProgressFile::Slot::about_to(std::size_t line) { store(about_to_, doubt_end() << 32U | line); }
void ProgressFile::Slot::written(std::size_t line) { store(written_, doubt_begin() << 32U | line); }

void ProgressFile::Slot::in_doubt(std::size_t first, std::size_t end) {
  store(written_, first << 32U | written());
  store(about_to_, end << 32U | about_to());
}

Result<std::unique_ptr<ProgressFile>> ProgressFile::open(const std::string& path) {
  static_assert(sizeof(Slot) == 64);
  constexpr auto size = slots * sizeof(Slot);
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (file < 0) return Error{fmt::format("cannot open {}: {}", path, std::strerror(errno))};
  // All of it is on the disk before it is used: a map that finds no room there ends the process.
  const int failure = ::posix_fallocate(file, 0, size);
  void* memory = failure == 0 ? ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  const int why = failure != 0 ? failure : errno;
  ::close(file);
  if (memory == MAP_FAILED) return Error{fmt::format("cannot use {}: {}", path, std::strerror(why))};
  return std::unique_ptr<ProgressFile>(new ProgressFile(static_cast<Slot*>(memory)));
}

ProgressFile::ProgressFile(Slot* first) : first_(first) {
  for (std::size_t index = 0; index < slots; ++index) taken_ = std::max(taken_, first_[index].taken_);
}

ProgressFile::~ProgressFile() { ::munmap(first_, slots * sizeof(Slot)); }

ProgressFile::Slot* ProgressFile::take(const std::string& delivery) {
  std::size_t chosen = slots;
  const auto name = delivery.substr(0, sizeof(Slot::delivery_));
  for (std::size_t index = 0; index < slots; ++index) {
    auto& slot = first_[index];
    const std::string_view known(slot.delivery_, ::strnlen(slot.delivery_, sizeof slot.delivery_));
    if (known == name && !in_use_[index]) {
      in_use_[index] = true;
      return &slot;
    }
    if (!in_use_[index] && (chosen == slots || slot.taken_ < first_[chosen].taken_)) chosen = index;
  }
  if (chosen == slots) return nullptr;
  auto& slot = first_[chosen];
  // Without a name first: a slot that is half made belongs to nobody.
  std::memset(slot.delivery_, 0, sizeof slot.delivery_);
  store(slot.about_to_, 0);
  store(slot.written_, 0);
  store(slot.taken_, ++taken_);
  std::memcpy(slot.delivery_, name.data(), name.size());
  in_use_[chosen] = true;
  return &slot;
}

void ProgressFile::leave(Slot* slot) { in_use_[slot - first_] = false; }

}  // namespace gorgone::engine
