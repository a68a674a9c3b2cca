#pragma once
// The folder in which a destination's content is gathered, beside it or, where its parent may not be written, in it:
//
//   .NAME.gorgone/   (or DESTINATION/.gorgone/)   mode 0700, on the destination's file system
//     blobs/HASH, HASH.part   content that has come
//     m-HASH                  manifests
//     of-INODE                which manifest the tree with that top inode was made from
//     tree                    what is being built; during the switch, what was there before
//     previous                the tree before the present one
//     trash, trash-N          what nobody needs any more
//     switching               a switch is under way (switch.hpp)
//
// Blocking: on a pool thread, one at a time for one destination.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "folder.hpp"
#include "manifest.hpp"

namespace gorgone::content {

class Staging {
 public:
  /// Makes the folder where `makes` and it is missing. An Error with code "missing" where it is and shall not be made.
  static Result<Staging> open(const Location& destination, bool makes);

  const Location& destination() const { return destination_; }
  int folder() const { return folder_.get(); }
  /// The folder, reached by its descriptor whatever becomes of the path: for calls that take paths.
  std::string path(const std::string& name = {}) const;
  std::string shown(const std::string& name = {}) const { return name.empty() ? shown_ : shown_ + "/" + name; }
  /// True where the whole destination can be exchanged in one step: otherwise file by file, and why.
  const std::string& not_in_one_step() const { return not_in_one_step_; }
  /// Whether that is because this daemon may not write to the folder above: `gorgonectl one-step` helps.
  bool lacks_folder_above() const { return lacks_folder_above_; }

  /// Whoever puts something in place or back has it alone while the lock lives, on whatever thread or in whatever daemon: a module that
  /// was unloaded in the middle of a switch may still be at it. An Error with code "busy" where somebody else has it; the same Staging
  /// may ask again.
  using Lock = std::shared_ptr<const FileDescriptor>;
  Result<Lock> lock() const;

  bool has(const std::string& name) const;
  std::uint64_t inode_of(const std::string& name) const;  ///< 0 where it is missing
  std::uint64_t free_bytes() const;
  void remove(const std::string& name) const { remove_tree(folder(), name); }
  /// Removes it, or gets it out of the way: what is in a folder of somebody else's only root can remove.
  void make_room(const std::string& name) const;
  /// Removes all that was got out of the way, as far as it may.
  void empty_trash() const;

  /// Manifests that came, by their hash.
  Result<void> keep_manifest(const Hash& hash, std::string_view bytes) const;
  std::optional<Manifest> manifest(const Hash& hash, const ManifestLimits& limits) const;
  /// That of a tree that was put in place: it was accepted then, whatever the limits are now.
  std::optional<Manifest> accepted_manifest(const Hash& hash) const;
  /// Notes and tells which manifest the tree with a top inode was made from.
  Result<void> note_tree(std::uint64_t inode, const Hash& hash) const;
  std::optional<Hash> tree_of(std::uint64_t inode) const;
  /// Forgets the manifests and notes of trees that are gone.
  void forget_old_trees() const;

 private:
  Location destination_;
  FileDescriptor folder_;
  std::string shown_, not_in_one_step_;
  bool lacks_folder_above_ = false;
  mutable std::weak_ptr<const FileDescriptor> locked_;
};

}  // namespace gorgone::content
