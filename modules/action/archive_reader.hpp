#pragma once
// One pass over a tar file: its members with their paths made safe, or why one is refused. Blocks: on a pool thread.

#include <gorgone/result.hpp>

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct archive;

namespace gorgone::action {

using Path = std::vector<std::string>;  ///< its parts, none of them empty, "." or ".."

struct Member {
  enum class Kind { file, folder, symlink, hardlink };
  Kind kind = Kind::file;
  Path path;           ///< empty: the folder itself
  std::string target;  ///< of a symlink, as it stands there
  Path link;           ///< of a hard link
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::time_t mtime = 0;
  std::uint64_t size = 0;  ///< of a file's content, as the archive says
};

/// The parts of a member's path; an Error where it is absolute, climbs, or is so long or deep that no system call or no stack is made
/// for it: 4095 bytes, 200 parts.
Result<Path> safe_path(const std::string& text);

/// True where a symlink at `path` cannot lead out of the folder: relative, and its ".." stand at the front and are no
/// more than the folders it lies in. (Later ones could climb out of a folder that a second link leads to.)
bool stays_inside(const Path& path, const std::string& target);

class ArchiveReader {
 public:
  static Result<ArchiveReader> open(const std::string& file);

  /// The next member, nothing at the end.
  Result<std::optional<Member>> next();
  /// Hands the present member's content to a descriptor.
  Result<void> write_to(int fd);

 private:
  struct Free {
    void operator()(archive* reader) const;
  };
  explicit ArchiveReader(archive* reader) : reader_(reader) {}
  Error broken() const;

  std::unique_ptr<archive, Free> reader_;
};

}  // namespace gorgone::action
