#pragma once
// Builds the new tree in the staging folder: what has come, what has not changed, and, where they are kept, the files at the destination
// that the source lacks. Blocking, in slices: on a pool thread, one at a time.

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "owners.hpp"
#include "scanner.hpp"
#include "staging.hpp"

namespace gorgone::content {

/// Gives a folder or file the owner, group and mode of another one, or notes why not.
void own_as_found(int folder, const std::string& name, const Found& found, Notes& notes);

/// The destination as it is, by path and by content.
struct Present {
  std::vector<Found> found;
  std::unordered_map<std::string_view, const Found*> by_path;     ///< into `found`
  std::unordered_map<std::string_view, const Found*> by_content;  ///< by the bytes of the hash
  /// Device and inode of what got a name in a tree of ours since, or lost one: its time of change is ours, under all its names.
  std::set<std::pair<std::uint64_t, std::uint64_t>> linked;

  explicit Present(std::vector<Found> list);
  Present(Present&&) = default;
  Present& operator=(Present&&) = default;
  const Found* at(std::string_view path) const;
  const Found* with(const Hash& hash) const;
};

/// True where the file or folder is what the manifest says, with the owners that are asked for.
bool is_as_wanted(const Entry& entry, const Found* found, const WantedOwners& owners);
/// True where the destination is as wanted; with `removes_extra`, and nothing besides.
bool is_as_wanted(const Manifest& manifest, const Present& present, const WantedOwners& owners, bool removes_extra);

constexpr auto keep_uid = static_cast<uid_t>(-1);
constexpr auto keep_gid = static_cast<gid_t>(-1);

/// Who is to own something, and whether it is told where that cannot be.
struct Owned {
  uid_t uid = keep_uid;
  gid_t gid = keep_gid;
  bool is_uid_told = true, is_gid_told = true;
};

class Builder {
 public:
  struct Wish {
    WantedOwners owners;
    bool keeps_extra = true;
    bool links_unchanged = false;
    bool replaces_folders = true;  ///< false: those that are at the destination stay, and only files are put into them
  };
  Builder(const Staging& staging, const Manifest& manifest, Present& present, const Wish& wish);

  /// Builds for about so long; true where the tree is complete and on the disk. An Error has code "changed" where the destination was
  /// changed meanwhile, "no_extra" where a file there cannot be taken over.
  Result<bool> build_for(std::chrono::milliseconds time);
  /// What is known of the files of the complete tree, which nobody else can have changed: to be asked just before the switch.
  TreeIndex index();
  const Notes& notes() const { return notes_; }

 private:
  Result<void> start();
  void note_links_of_earlier_tree();
  Result<void> make(const Entry& entry);
  Result<void> make_file(const Entry& entry, const Walker::Place& to);
  Result<void> take_unchanged(const Entry& entry, const Found& from, const Walker::Place& to);
  Result<void> take_over(const Found& extra);
  Result<void> finish();
  Result<void> sync();
  const std::string& named(const std::string& path) const;
  Owned owned(const Entry& entry) const;
  void own(const Walker::Place& place, const Entry& entry, mode_t mode);
  Result<Walker::Place> place_in_tree(const std::string& path);
  bool is_extra(const Found& found) const;

  const Staging& staging_;
  const Manifest& manifest_;
  Present& present_;
  Wish wish_;
  std::optional<Walker> tree_, old_;
  Owners above_;  // of the folder that the destination lies in, where it is new
  std::size_t next_ = 0, next_extra_ = 0;
  std::set<Hash> used_;
  std::vector<std::string> new_;  // paths of files whose content is not on the disk yet; no more than are synced one by one
  Notes notes_;
};

}  // namespace gorgone::content
