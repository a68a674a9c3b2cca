#pragma once
// Looks at a tree as it is on this machine: lists it, then hashes what the index does not know. Blocking, in slices, so that a large tree
// does not keep a thread of the pool: on one pool thread at a time.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "folder.hpp"
#include "index.hpp"
#include "manifest.hpp"

namespace gorgone::content {

/// One path of a tree.
struct Found {
  enum class Kind { folder, file, link, special };
  std::string path;
  Kind kind = Kind::file;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  Stamp stamp;
  std::string target = {};        ///< of a link
  std::optional<Hash> hash = {};  ///< of a file that is not empty, where it could be read
  std::int64_t known_ns = 0;      ///< see TreeIndex::put
};

/// Names that this module makes in the trees of others: they are no part of them.
bool is_own_name(std::string_view name);

class Scanner {
 public:
  /// `is_source`: what cannot be sent (devices, links that lead out, unreadable or ever changing files) is an Error.
  Scanner(std::string root, TreeIndex known, bool is_source);

  /// All but the hashes. An Error with code "missing" where there is no root.
  Result<void> list();
  /// Hashes for about so long; true where all is done.
  Result<bool> hash_for(std::chrono::milliseconds time);

  /// In the order of the paths, the root first.
  const std::vector<Found>& found() const { return found_; }
  std::vector<Found> take() { return std::move(found_); }
  /// What is known now of the files that are there.
  TreeIndex index() const;
  /// How much was read, for whoever measures.
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  struct Reading {
    FileDescriptor fd;
    Sha256 sum;
    Stamp stamp;
    std::int64_t began_ns = 0;
  };
  Result<void> list_folder(int folder, const std::string& path, int depth);
  Result<void> add(int folder, const std::string& name, std::string path, int depth);
  Result<bool> open_next();
  Result<bool> read_some();
  Result<void> give_up(const Error& why);

  std::string root_;
  TreeIndex known_;
  bool is_source_;
  std::optional<Walker> walker_;
  std::vector<Found> found_;
  std::size_t next_ = 0;
  int attempts_ = 0;
  std::optional<Reading> reading_;
  std::uint64_t bytes_read_ = 0;
  std::string buffer_;
};

/// The manifest of what was found; files get `mode` where it is given. `has_owners`: it says to whom they belong.
Manifest manifest_of(const std::vector<Found>& found, std::optional<mode_t> mode, bool has_owners = false);

}  // namespace gorgone::content
