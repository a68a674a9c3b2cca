#include "blobs.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

namespace gorgone::content {
namespace {

constexpr std::string_view part_suffix = ".part";
constexpr std::size_t buffer_size = std::size_t{256} << 10;
// The system begins to write so much of a large file while the rest comes: what waits for the disk at its end is little.
constexpr std::uint64_t written_at_a_time = std::uint64_t{8} << 20;

}  // namespace

Result<bool> Blobs::open_for(std::chrono::milliseconds time) {
  if (!scanner_) {
    if (::mkdirat(staging_.folder(), "blobs", 0700) != 0 && errno != EEXIST)
      return system_error("create folder", staging_.shown("blobs"), errno);
    scanner_.emplace(staging_.path("blobs"), TreeIndex(), false);
    if (const auto listed = scanner_->list(); !listed) return listed.error();
  }
  const auto done = scanner_->hash_for(time);
  if (!done || !*done) return done;
  for (const auto& found : scanner_->found()) {
    if (found.kind != Found::Kind::file || found.path.ends_with(part_suffix)) continue;
    if (found.hash && to_hex(*found.hash) == found.path)
      complete_.insert(*found.hash);
    else
      staging_.remove("blobs/" + found.path);
  }
  return true;
}

Result<std::uint64_t> Blobs::expect(std::vector<Blob> blobs, std::vector<std::size_t> wanted) {
  blobs_ = std::move(blobs);
  wanted_ = std::move(wanted);
  next_ = 0;
  offset_ = bytes_ = 0;
  file_ = FileDescriptor();
  if (wanted_.empty()) return 0;
  // The hash goes on where it was.
  const auto& blob = blobs_[wanted_.front()];
  if (const auto begun = begin(blob); !begun) return begun.error();
  std::string buffer(buffer_size, '\0');
  sum_ = Sha256();
  for (;;) {
    const auto count = ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", staging_.shown(name_of(blob.hash)), errno);
    if (count == 0) break;
    sum_.feed(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    offset_ += static_cast<std::uint64_t>(count);
  }
  if (offset_ >= blob.size) {
    if (::ftruncate(file_.get(), 0) != 0) return system_error("cut", staging_.shown(name_of(blob.hash)), errno);
    sum_ = Sha256();
    offset_ = 0;
  }
  return offset_;
}

Result<void> Blobs::begin(const Blob& blob) {
  const auto name = name_of(blob.hash) + std::string(part_suffix);
  file_ = FileDescriptor(::openat(staging_.folder(), name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_) return system_error("write", staging_.shown(name), errno);
  return {};
}

Result<void> Blobs::end(const Blob& blob) {
  const auto name = name_of(blob.hash), part = name + std::string(part_suffix);
  file_ = FileDescriptor();
  if (sum_.end() != blob.hash) {
    ::unlinkat(staging_.folder(), part.c_str(), 0);
    return Error{"what has come has another hash than the manifest says", "changed"};
  }
  if (::renameat(staging_.folder(), part.c_str(), staging_.folder(), name.c_str()) != 0)
    return system_error("rename a file to", staging_.shown(name), errno);
  complete_.insert(blob.hash);
  sum_ = Sha256();
  offset_ = 0;
  ++next_;
  return {};
}

// The last whole step, and what is behind it. Where a file system cannot, the sync at the end takes longer.
void Blobs::begin_writing() {
  const auto begin = (offset_ / written_at_a_time - 1) * written_at_a_time;
  (void)::sync_file_range(file_.get(), static_cast<off_t>(begin), static_cast<off_t>(offset_ - begin), SYNC_FILE_RANGE_WRITE);
}

Result<void> Blobs::take(const std::vector<Record>& records) {
  for (const auto& record : records) {
    if (has_all() || record.blob != wanted_[next_] || record.offset != offset_)
      return Error{"a piece is not the one that was awaited", "order"};
    const auto& blob = blobs_[record.blob];
    if (record.bytes.size() > blob.size - offset_) return Error{"a file is longer than the manifest says", "order"};
    if (!file_) {
      if (auto begun = begin(blob); !begun) return begun;
      // What an earlier push left of it was not counted on. Cutting an empty file would make some file systems write it out when it is
      // closed.
      struct stat status {};
      if (::fstat(file_.get(), &status) == 0 && status.st_size > 0 && ::ftruncate(file_.get(), 0) != 0)
        return system_error("cut", staging_.shown(name_of(blob.hash)), errno);
    }
    sum_.feed(record.bytes);
    for (std::size_t have = 0; have < record.bytes.size();) {
      const auto count = ::pwrite(file_.get(), record.bytes.data() + have, record.bytes.size() - have, static_cast<off_t>(offset_ + have));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return system_error("write", staging_.shown(name_of(blob.hash)), errno);
      have += static_cast<std::size_t>(count);
    }
    const auto steps = offset_ / written_at_a_time;
    offset_ += record.bytes.size();
    if (offset_ / written_at_a_time > steps) begin_writing();
    bytes_ += record.bytes.size();
    if (offset_ < blob.size) continue;
    if (auto ended = end(blob); !ended) return ended;
  }
  return {};
}

}  // namespace gorgone::content
