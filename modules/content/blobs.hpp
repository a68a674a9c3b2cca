#pragma once
// Content that has come for a destination and is not in its tree yet, by hash: survives whatever ends the push. Blocking: on a pool thread,
// one at a time.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "pack.hpp"
#include "scanner.hpp"
#include "staging.hpp"

namespace gorgone::content {

class Blobs {
 public:
  explicit Blobs(const Staging& staging) : staging_(staging) {}

  /// Looks at what is there from an earlier life and hashes it, for about so long at a time; true where all is done.
  Result<bool> open_for(std::chrono::milliseconds time);

  bool has(const Hash& hash) const { return complete_.contains(hash); }
  /// Names what will come: numbers in records are those of `blobs`. Returns how much of the first of `wanted` is there.
  Result<std::uint64_t> expect(std::vector<Blob> blobs, std::vector<std::size_t> wanted);
  /// Takes a decompressed piece. An Error has code "order" where it is not what comes next, "changed" where a file is complete and has
  /// another hash than the manifest says.
  Result<void> take(const std::vector<Record>& records);
  bool has_all() const { return next_ == wanted_.size(); }
  std::size_t files_taken() const { return next_; }
  std::uint64_t bytes_taken() const { return bytes_; }

  static std::string name_of(const Hash& hash) { return "blobs/" + to_hex(hash); }
  void close() { file_ = FileDescriptor(); }

 private:
  Result<void> begin(const Blob& blob);
  Result<void> end(const Blob& blob);

  void begin_writing();

  const Staging& staging_;
  std::optional<Scanner> scanner_;
  std::set<Hash> complete_;
  std::vector<Blob> blobs_;
  std::vector<std::size_t> wanted_;
  std::size_t next_ = 0;
  std::uint64_t offset_ = 0, bytes_ = 0;
  FileDescriptor file_;
  Sha256 sum_;
};

}  // namespace gorgone::content
