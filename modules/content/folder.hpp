#pragma once
// Files and folders reached from an open folder, so that no link on the way leads elsewhere. Blocking: on a pool thread.

#include <gorgone/files.hpp>
#include <gorgone/result.hpp>

#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::content {

/// "cannot <what> '<path>': <reason of errno>"; its code is "space" where a disk or a quota is full, "missing" where the path is.
Error system_error(const char* what, const std::string& path, int error);

Result<FileDescriptor> open_folder(const std::string& path);
/// A duplicate of an open folder.
FileDescriptor copy_of(int folder);

/// What a path leads to. The folder above it must exist.
struct Location {
  std::string path;    ///< with links resolved
  std::string parent;  ///< the folder above
  std::string name;    ///< in that folder; empty for "/"
  bool exists = false;
  struct stat status {};
};
Result<Location> locate(const std::string& path);

/// Goes about below a folder, one level at a time, following no link. Quick where paths come in order.
class Walker {
 public:
  /// `shown` is the root's path for messages.
  Walker(FileDescriptor root, std::string shown) : root_(std::move(root)), shown_(std::move(shown)) {}

  struct Place {
    int folder = -1;
    std::string name;
  };
  /// The folder above `path` and its name there; `path` is not the root.
  Result<Place> place(std::string_view path);
  /// The folder itself; "" is the root.
  Result<int> folder(std::string_view path);
  int root() const { return root_.get(); }
  std::string shown(std::string_view path) const { return path.empty() ? shown_ : shown_ + "/" + std::string(path); }
  /// What was opened on the way is forgotten: to be called after something was moved.
  void forget() { way_.clear(); }

 private:
  struct Step {
    std::string path;
    FileDescriptor fd;
  };
  FileDescriptor root_;
  std::string shown_;
  std::vector<Step> way_;
};

/// Calls `each` with every name in a folder, in no order; stops where it gives an Error.
Result<void> for_each_name(int folder, const std::string& shown, const std::function<Result<void>(const std::string&)>& each);

/// A whole file beside its place, then renamed; synced where it must be there after a failure of power.
Result<void> write_file(const std::string& path, std::string_view bytes, bool is_synced = true);
Result<std::string> read_file(const std::string& path, std::size_t limit);
/// The content of one open file into another: by reference where the file system can.
Result<void> copy_content(int from, int to, const std::string& shown);

}  // namespace gorgone::content
