#pragma once
// Content on its way: pieces of about 256 kB, each compressed by itself, each a list of (blob, offset, bytes). A large file is cut, small
// ones share a piece. Writing blocks: on a pool thread. Reading is pure.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "folder.hpp"
#include "manifest.hpp"

namespace gorgone::content {

constexpr std::size_t piece_bytes = std::size_t{256} << 10;
/// A piece with the numbers in it, at most.
constexpr std::size_t piece_bytes_max = 2 * piece_bytes;

/// Which blobs of a manifest a node lacks: a bit for each, compressed.
std::string encode_set(const std::vector<bool>& set);
/// An Error where it is no set of so many.
Result<std::vector<bool>> decode_set(std::string_view bytes, std::size_t count);

class Packer {
 public:
  /// `wanted` are numbers of blobs in order; of the first one only what follows `offset`.
  Packer(std::string root, std::shared_ptr<const Manifest> manifest, std::vector<Blob> blobs, std::vector<std::size_t> wanted,
         std::uint64_t offset);

  bool at_end() const { return next_ == wanted_.size(); }
  /// The next piece, compressed. An Error with code "changed" where a file is not any more what the manifest says.
  Result<std::string> next();

 private:
  Result<void> open(const Blob& blob);

  std::string root_;
  std::shared_ptr<const Manifest> manifest_;
  std::vector<Blob> blobs_;
  std::vector<std::size_t> wanted_;
  std::size_t next_ = 0;
  std::uint64_t offset_;
  std::optional<Walker> walker_;
  FileDescriptor file_;
  std::string piece_;
};

struct Record {
  std::size_t blob = 0;
  std::uint64_t offset = 0;
  std::string_view bytes;  ///< of the piece
};
/// An Error where a piece, decompressed, is none.
Result<std::vector<Record>> read_piece(std::string_view piece);

}  // namespace gorgone::content
