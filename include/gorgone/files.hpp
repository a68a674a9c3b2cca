#pragma once
// What modules that work on files have in common: descriptors, who shall own what, and what of that could not be done. Blocking: on a
// pool thread.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gorgone {

/// A descriptor and the duty to close it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

/// Writes all of `bytes`; an errno, 0 where all went well.
GORGONE_API int write_all(int fd, std::string_view bytes);

/// A file that is made beside its place, by a name of this process, and put there when it is whole and on the disk; it is gone again with
/// this object unless it was put there. Errors are "PATH: what: why".
class GORGONE_API NewFile {
 public:
  explicit NewFile(std::string path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  /// Makes it, with this mode whatever the umask is.
  Result<void> write(std::string_view text, mode_t mode);
  enum class Over { anything, nothing };
  /// In the place of what is there or, over nothing, an Error where there is something.
  Result<void> put(Over over = Over::anything);

 private:
  std::string path_, beside_;
  bool is_made_ = false;
};

/// Forces to the disk which files there are in the folder of `path`.
GORGONE_API Result<void> sync_folder_of(const std::string& path);

/// Removes a file or a folder with all that is in it, as far as it may; nothing where it is missing. Follows no link.
GORGONE_API void remove_tree(int folder, const std::string& name);

/// What could not be done and does not end the work, in a few lines whatever the number of files.
class GORGONE_API Notes {
 public:
  void add(std::string text);
  void add(const Notes& others);
  /// "cannot <what> '<path>' and N others: <reason>": one line for each `what` and reason.
  void refused(const char* what, const std::string& path, int error);

  bool empty() const { return lines_.empty() && refusals_.empty(); }
  void clear();
  std::vector<std::string> texts() const;

 private:
  struct Refusal {
    std::string what, path;
    int error = 0;
    std::size_t others = 0;
  };
  std::vector<std::string> lines_;
  std::vector<Refusal> refusals_;
};

/// Who shall own a file; nothing: not asked for, or not to be had.
struct Owners {
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
};

/// The accounts by their names or numbers; empty: not asked for. One that is not known here, or that this process may not give files to,
/// is a note and is left out.
GORGONE_API Owners find_owners(const std::string& owner, const std::string& group, Notes& notes);

}  // namespace gorgone
