#pragma once
// What a tree is: each path with its kind, mode, size and hash, and where it is asked for its owner. The same tree gives the same bytes,
// and so the same hash, on every machine; times are not part of it. docs/protocol.md has the form. Pure, on any thread.

#include "bytes.hpp"

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::content {

/// To whom a file belongs where it comes from. The names count, for numbers differ from machine to machine.
struct Account {
  std::uint32_t uid = 0, gid = 0;
  std::string user, group;  ///< empty: the sender knows none

  friend bool operator==(const Account&, const Account&) = default;
};

struct Entry {
  enum class Kind : unsigned char { folder = 0, file = 1, link = 2 };
  std::string path;  ///< below the root, without a leading slash; the root itself is ""
  Kind kind = Kind::file;
  mode_t mode = 0;          ///< permission bits; 0 of a link
  std::uint64_t size = 0;   ///< of a file
  Hash hash{};              ///< of a file that is not empty
  std::string target = {};  ///< of a link
  std::uint32_t owner = 0;  ///< index into Manifest::owners, where there are any

  friend bool operator==(const Entry&, const Entry&) = default;
};

/// Content that has to be there once, however many files have it.
struct Blob {
  Hash hash;
  std::uint64_t size = 0;
  std::size_t entry = 0;  ///< the first file that has it
};

/// Entries in the order of their paths' bytes; the first is the root, a folder or a single file.
struct Manifest {
  std::vector<Entry> entries;
  std::vector<Account> owners = {};  ///< empty: who owns the files is not part of it

  bool is_single_file() const { return entries.front().kind == Entry::Kind::file; }
  std::uint64_t files() const;
  std::uint64_t bytes() const;
  const Entry* find(std::string_view path) const;
  std::vector<Blob> blobs() const;
};

struct ManifestLimits {
  std::size_t entries = 500000;
  std::size_t bytes = std::size_t{128} << 20;
};

std::string encode(const Manifest& manifest);
/// An Error says which path may not be: one that leads out, comes twice, has no folder above it, a link that leads out of the tree.
Result<Manifest> decode(std::string_view bytes, const ManifestLimits& limits);

/// Why a link at `path` may not lead to `target`; empty where it may: relative, inside the tree, with `..` at its beginning only, for
/// behind the name of another link `..` leads elsewhere than it seems.
std::string wrong_with_link(std::string_view path, std::string_view target);

}  // namespace gorgone::content
