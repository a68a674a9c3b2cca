#pragma once
// What is known of the files of a tree: the hash of each, with the size, times and inode that it had, so that a file that has not changed
// is not read again. One file for each tree in the module's state folder. Not thread-safe: used by one job at a time for one tree.

#include "bytes.hpp"

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace gorgone::content {

/// By what a change of a file is told.
struct Stamp {
  std::uint64_t size = 0, inode = 0, device = 0;
  std::int64_t mtime_ns = 0, ctime_ns = 0;

  friend bool operator==(const Stamp&, const Stamp&) = default;
};
Stamp stamp_of(const struct stat& status);

/// Now, by the clock that the times of files are taken from.
std::int64_t file_clock_ns();

class TreeIndex {
 public:
  /// The hash of a file that has not changed; nothing where it is not known or could have changed unseen.
  std::optional<Hash> find(const std::string& path, const Stamp& stamp) const;
  /// `known_ns`: by the file clock, when the content began to be read, or the last time at which nobody could have changed it.
  void put(const std::string& path, const Stamp& stamp, const Hash& hash, std::int64_t known_ns);
  std::size_t size() const { return files_.size(); }
  friend bool operator==(const TreeIndex&, const TreeIndex&) = default;

  std::string encode(const std::string& root) const;
  /// Empty where it is broken or of another tree: then everything is read again.
  static TreeIndex decode(std::string_view bytes, const std::string& root);

 private:
  struct Known {
    Stamp stamp;
    Hash hash;
    std::int64_t known_ns = 0;
    friend bool operator==(const Known&, const Known&) = default;
  };
  std::unordered_map<std::string, Known> files_;
};

/// The folder in which indexes are kept, bounded in number: the ones that were not used for longest go.
class IndexStore {
 public:
  IndexStore(std::string folder, std::size_t trees_max) : folder_(std::move(folder)), trees_max_(trees_max) {}
  TreeIndex load(const std::string& root) const;
  /// An Error where it cannot be kept: the next time all is read again.
  Result<void> save(const std::string& root, const TreeIndex& index) const;

 private:
  std::string file_of(const std::string& root) const;
  void forget_oldest() const;

  std::string folder_;
  std::size_t trees_max_;
};

}  // namespace gorgone::content
