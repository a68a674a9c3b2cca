#pragma once
// Files, and the files of directories, as they change: looked at from time to time. Blocking; one thread at a time.
//
// A change is believed when two looks in a row have seen the same: a file that is half written, or away for a moment because somebody is
// replacing it, is not taken for its new state. The first look believes what it sees.

#include <gorgone/result.hpp>

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gorgone::mcollective {

struct FileChange {
  std::string path;
  /// Nothing: the file is no longer there, and was one of a directory. An Error: a path that was named is not there, or see holds_on().
  std::optional<Result<std::string>> text;
  /// The Error says why a file or directory cannot be read now: what was read of it before holds on. Told once for each reason, and tried
  /// again at each look.
  bool holds_on() const;
};

class FileWatch {
 public:
  /// Each a file or a directory, whose plain files are meant: not those with a leading dot or a `~` at the end.
  FileWatch(std::vector<std::string> paths, std::size_t bytes_max) : paths_(std::move(paths)), bytes_max_(bytes_max) {}

  /// What has changed since the look before.
  std::vector<FileChange> look();
  /// The last look has seen a change that is believed where the next one sees the same.
  bool is_in_doubt() const { return is_in_doubt_; }
  /// The next look gives everything anew.
  void forget();

 private:
  struct Stamp {
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified_ns = 0, changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct Entry {
    bool is_taken = false;
    std::optional<Stamp> taken, seen;  ///< nothing: not there
    std::string failure;               ///< as it was told last; empty: there is none
  };
  struct Sight {
    std::optional<Stamp> stamp;  ///< nothing: not there, or not to be seen
    std::string failure;         ///< why not
  };
  using Seen = std::map<std::string, Sight>;

  static Sight sight_of(const std::string& path, const struct stat* found);
  static void see_directory(const std::string& directory, Seen& seen);
  static bool is_hidden(const std::string& path, const Seen& seen);
  static void fail(const std::string& path, Entry& entry, const std::string& failure, std::vector<FileChange>& changes);
  Seen see() const;

  std::vector<std::string> paths_;
  std::size_t bytes_max_;
  std::map<std::string, Entry> entries_;
  bool believes_at_once_ = true, is_in_doubt_ = false;
};

}  // namespace gorgone::mcollective
