#include "pack.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace gorgone::content {
namespace {

constexpr std::size_t set_bytes_max = std::size_t{1} << 20;

}  // namespace

std::string encode_set(const std::vector<bool>& set) {
  std::string bits((set.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < set.size(); ++i)
    if (set[i]) bits[i / 8] = static_cast<char>(bits[i / 8] | (1 << (i % 8)));
  return compress(bits);
}

Result<std::vector<bool>> decode_set(std::string_view bytes, std::size_t count) {
  const auto bits = decompress(bytes, set_bytes_max);
  if (!bits) return bits.error();
  if (bits->size() != (count + 7) / 8) return Error{"the set of what is lacking has another size than the manifest"};
  std::vector<bool> set(count);
  for (std::size_t i = 0; i < count; ++i) set[i] = ((*bits)[i / 8] >> (i % 8)) & 1;
  return set;
}

Packer::Packer(std::string root, std::shared_ptr<const Manifest> manifest, std::vector<Blob> blobs, std::vector<std::size_t> wanted,
               std::uint64_t offset)
    : root_(std::move(root)), manifest_(std::move(manifest)), blobs_(std::move(blobs)), wanted_(std::move(wanted)), offset_(offset) {}

Result<void> Packer::open(const Blob& blob) {
  const auto& path = manifest_->entries[blob.entry].path;
  if (!walker_) {
    auto folder = open_folder(manifest_->is_single_file() ? root_.substr(0, std::max<std::size_t>(root_.rfind('/'), 1)) : root_);
    if (!folder) return folder.error();
    walker_.emplace(std::move(*folder), root_);
  }
  const auto place =
      path.empty() ? Result<Walker::Place>(Walker::Place{walker_->root(), root_.substr(root_.rfind('/') + 1)}) : walker_->place(path);
  if (!place) return place.error();
  file_ = FileDescriptor(::openat(place->folder, place->name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file_) return system_error("read", walker_->shown(path), errno);
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != blob.size)
    return Error{"'" + walker_->shown(path) + "' was changed while it was sent"};
  return {};
}

Result<std::string> Packer::next() {
  // Kept from piece to piece, for fresh pages cost as much as what is read into them.
  auto& piece = piece_;
  piece.clear();
  piece.reserve(piece_bytes + 64);
  while (next_ < wanted_.size() && piece.size() < piece_bytes) {
    const auto& blob = blobs_[wanted_[next_]];
    if (!file_) {
      if (const auto opened = open(blob); !opened) return Error{opened.error().message, "changed"};
    }
    const std::uint64_t room = piece_bytes - piece.size();
    const auto count = std::min<std::uint64_t>(room, blob.size - offset_);
    put_number(piece, wanted_[next_]);
    put_number(piece, offset_);
    put_number(piece, count);
    const auto begin = piece.size();
    piece.resize(begin + count);
    for (std::uint64_t have = 0; have < count;) {
      const auto got = ::pread(file_.get(), piece.data() + begin + have, count - have, static_cast<off_t>(offset_ + have));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        return Error{"'" + walker_->shown(manifest_->entries[blob.entry].path) + "' became shorter while it was sent", "changed"};
      have += static_cast<std::uint64_t>(got);
    }
    offset_ += count;
    if (offset_ < blob.size) continue;
    offset_ = 0;
    file_ = FileDescriptor();
    ++next_;
  }
  return compress(piece);
}

Result<std::vector<Record>> read_piece(std::string_view piece) {
  Reader reader(piece);
  std::vector<Record> records;
  while (!reader.at_end()) {
    Record record;
    record.blob = reader.number();
    record.offset = reader.number();
    record.bytes = reader.text();
    if (reader.failed() || record.bytes.empty()) return Error{"a piece of content is broken"};
    records.push_back(record);
  }
  return records;
}

}  // namespace gorgone::content
