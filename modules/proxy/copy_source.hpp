#pragma once
// What a remote copy sends, read in pieces with bounded memory: a file as it is, or a folder as a tar.gz that is made while it is read.
// Blocks: on a pool thread, one call at a time.

#include <gorgone/result.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace gorgone::proxy {

/// "changed" as the code of an Error: what is read was written meanwhile; another try may do better.
class CopySource {
 public:
  virtual ~CopySource() = default;
  /// An Error where it is missing, cannot be read, or is neither a file nor a folder.
  static Result<std::unique_ptr<CopySource>> open(const std::string& path);

  virtual bool is_folder() const = 0;
  /// Bytes of its files in all, and how many files there are.
  virtual std::uint64_t total() const = 0;
  virtual std::uint64_t files() const = 0;
  /// Bytes of its files that have been read.
  virtual std::uint64_t done() const = 0;
  /// The next so many bytes to send, fewer at the end, none after it.
  virtual Result<std::string> read(std::size_t bytes) = 0;
};

/// What open() would say of a path, without opening all of it.
Result<bool> is_folder(const std::string& path);

/// "cannot <what> '<path>': <reason of errno>"
Error source_error(const char* what, const std::string& path, int error);

Result<std::unique_ptr<CopySource>> open_folder(const std::string& path);

}  // namespace gorgone::proxy
