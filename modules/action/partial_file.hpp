#pragma once
// The file that gathers a copy's chunks, and their MD5 while they come. Blocks: on pool threads, one call at a time but for remove(), which
// may come while a chunk is being written.

#include <gorgone/result.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace gorgone::action {

class PartialFile {
 public:
  explicit PartialFile(std::string path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::string& path() const { return path_; }

  /// Decodes a chunk and appends it; the bytes that there are then. Makes the folder where it is missing, one level. An Error where
  /// the chunk has not the size that was said. With an `offset` a chunk that is there already is passed over, and one before
  /// which something is missing is an Error with the code "again".
  Result<std::uint64_t> append(std::string_view base64, std::int64_t size, std::optional<std::int64_t> offset);

  /// The MD5 of the whole as hex.
  Result<std::string> md5();
  /// For good: a chunk that comes after it is refused and makes no new file.
  void remove();

 private:
  struct Digest;
  std::mutex mutex_;
  bool is_removed_ = false;
  std::string path_;
  std::unique_ptr<Digest> digest_;
};

}  // namespace gorgone::action
