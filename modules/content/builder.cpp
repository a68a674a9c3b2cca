#include "builder.hpp"

#include <gorgone/log.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "blobs.hpp"

namespace gorgone::content {
namespace {

constexpr const char* tree_name = "tree";
constexpr mode_t while_building = 0700;
// More new files than this are brought to the disk with all else that waits for it there.
constexpr std::size_t single_syncs_max = 32;

bool is_kind(Entry::Kind wanted, Found::Kind found) {
  return (wanted == Entry::Kind::folder && found == Found::Kind::folder) || (wanted == Entry::Kind::file && found == Found::Kind::file) ||
         (wanted == Entry::Kind::link && found == Found::Kind::link);
}

void own(Notes& notes, int folder, const std::string& name, const std::string& path, const Owned& owned, mode_t mode, bool is_link) {
  struct stat now {};
  if (::fstatat(folder, name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) return;
  auto give = [&](uid_t uid, gid_t gid) { return ::fchownat(folder, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) == 0; };
  // Apart, for a daemon that may not give a file away may still set one of its own groups.
  if (owned.uid != keep_uid && owned.uid != now.st_uid && !give(owned.uid, keep_gid) && owned.is_uid_told)
    notes.refused("set the owner of", path, errno);
  if (owned.gid != keep_gid && owned.gid != now.st_gid && !give(keep_uid, owned.gid) && owned.is_gid_told)
    notes.refused("set the group of", path, errno);
  if (!is_link && mode != (now.st_mode & 07777) && ::fchmodat(folder, name.c_str(), mode, 0) != 0)
    notes.refused("set the mode of", path, errno);
}

}  // namespace

void own_as_found(int folder, const std::string& name, const Found& found, Notes& notes) {
  own(notes, folder, name, found.path, {found.uid, found.gid}, found.mode & 07777, found.kind == Found::Kind::link);
}

Present::Present(std::vector<Found> list) : found(std::move(list)) {
  by_path.reserve(found.size());
  by_content.reserve(found.size());
  for (const auto& item : found) {
    by_path.emplace(item.path, &item);
    if (item.hash) by_content.emplace(view_of(*item.hash), &item);
  }
}

const Found* Present::at(std::string_view path) const {
  const auto known = by_path.find(path);
  return known == by_path.end() ? nullptr : known->second;
}

const Found* Present::with(const Hash& hash) const {
  const auto known = by_content.find(view_of(hash));
  return known == by_content.end() ? nullptr : known->second;
}

bool is_as_wanted(const Entry& entry, const Found* found, const WantedOwners& wanted) {
  if (!found || !is_kind(entry.kind, found->kind)) return false;
  const auto owners = wanted.of(entry);
  if ((owners.uid && *owners.uid != found->uid) || (owners.gid && *owners.gid != found->gid)) return false;
  if (entry.kind == Entry::Kind::link) return entry.target == found->target;
  if (entry.kind == Entry::Kind::folder) return entry.path.empty() || entry.mode == found->mode;
  return entry.mode == found->mode && entry.size == found->stamp.size && (entry.size == 0 || found->hash == entry.hash);
}

bool is_as_wanted(const Manifest& manifest, const Present& present, const WantedOwners& owners, bool removes_extra) {
  if (removes_extra && manifest.entries.size() != present.found.size()) return false;
  return std::all_of(manifest.entries.begin(), manifest.entries.end(),
                     [&](const Entry& entry) { return is_as_wanted(entry, present.at(entry.path), owners); });
}

Builder::Builder(const Staging& staging, const Manifest& manifest, Present& present, const Wish& wish)
    : staging_(staging), manifest_(manifest), present_(present), wish_(wish) {}

Result<bool> Builder::build_for(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  if (next_ == 0) {
    if (const auto started = start(); !started) return started.error();
  }
  do {
    if (next_ < manifest_.entries.size()) {
      if (const auto made = make(manifest_.entries[next_]); !made) return made.error();
      ++next_;
    } else if (wish_.keeps_extra && next_extra_ < present_.found.size()) {
      const auto& found = present_.found[next_extra_++];
      if (!is_extra(found)) continue;
      if (const auto taken = take_over(found); !taken) return Error{taken.error().message, "no_extra"};
    } else {
      if (const auto finished = finish(); !finished) return finished.error();
      return true;
    }
  } while (std::chrono::steady_clock::now() < until);
  return false;
}

// An earlier try may have left a tree: what is as it was found changes its time when that tree's names go.
void Builder::note_links_of_earlier_tree() {
  if (!staging_.has(tree_name)) return;
  Scanner earlier(staging_.path(tree_name), {}, false);
  if (!earlier.list()) return;
  for (const auto& found : earlier.found()) {
    const auto* there = found.kind == Found::Kind::file ? present_.at(found.path) : nullptr;
    if (there && there->stamp == found.stamp) present_.linked.emplace(found.stamp.device, found.stamp.inode);
  }
}

Result<void> Builder::start() {
  note_links_of_earlier_tree();
  staging_.make_room(tree_name);
  const auto& destination = staging_.destination();
  if (destination.exists) {
    auto folder = open_folder(S_ISDIR(destination.status.st_mode) ? destination.path : destination.parent);
    if (!folder) return folder.error();
    old_.emplace(std::move(*folder), destination.path);
  } else if (struct stat above{}; ::stat(destination.parent.c_str(), &above) == 0) {
    above_ = {above.st_uid, above.st_gid};
  }
  return {};
}

Result<Walker::Place> Builder::place_in_tree(const std::string& path) {
  if (path.empty()) return Walker::Place{staging_.folder(), tree_name};
  return tree_->place(path);
}

// Not below a path at which the manifest has something else than a folder.
bool Builder::is_extra(const Found& found) const {
  if (manifest_.find(found.path)) return false;
  for (auto slash = found.path.find('/'); slash != std::string::npos; slash = found.path.find('/', slash + 1)) {
    const auto* above = manifest_.find(std::string_view(found.path).substr(0, slash));
    if (above && above->kind != Entry::Kind::folder) return false;
  }
  return true;
}

const std::string& Builder::named(const std::string& path) const { return path.empty() ? staging_.destination().path : path; }

// As asked for, as it was, or, of what is new, as the folder that it comes into: whoever reads the others there can read it as well.
Owned Builder::owned(const Entry& entry) const {
  const auto wanted = wish_.owners.of(entry);
  Owned owned{wanted.uid.value_or(keep_uid), wanted.gid.value_or(keep_gid)};
  if (wanted.uid && wanted.gid) return owned;
  Owned other;
  if (const auto* found = present_.at(entry.path)) {
    other = {found->uid, found->gid};
  } else if (entry.path.empty()) {
    other = {above_.uid.value_or(keep_uid), above_.gid.value_or(keep_gid), false, false};
  } else {
    const auto slash = entry.path.rfind('/');
    other = this->owned(*manifest_.find(slash == std::string::npos ? std::string_view() : std::string_view(entry.path).substr(0, slash)));
    // The files of a daemon that is not root are its own, as everybody's: only a group that cannot be had is told.
    other.is_uid_told = false;
  }
  if (!wanted.uid) {
    owned.uid = other.uid;
    owned.is_uid_told = other.is_uid_told;
  }
  if (!wanted.gid) {
    owned.gid = other.gid;
    owned.is_gid_told = other.is_gid_told;
  }
  return owned;
}

void Builder::own(const Walker::Place& place, const Entry& entry, mode_t mode) {
  content::own(notes_, place.folder, place.name, named(entry.path), owned(entry), mode, entry.kind == Entry::Kind::link);
}

Result<void> Builder::make(const Entry& entry) {
  const auto to = place_in_tree(entry.path);
  if (!to) return to.error();
  const auto shown = staging_.shown(tree_name) + "/" + entry.path;
  if (entry.kind == Entry::Kind::file) return make_file(entry, *to);
  if (entry.kind == Entry::Kind::link) {
    if (::symlinkat(entry.target.c_str(), to->folder, to->name.c_str()) != 0) return system_error("make link", shown, errno);
    own(*to, entry, 0);
    return {};
  }
  // Its own mode and owner come when all is in it.
  if (::mkdirat(to->folder, to->name.c_str(), while_building) != 0) return system_error("create folder", shown, errno);
  if (!entry.path.empty()) return {};
  auto root = open_folder(staging_.path(tree_name));
  if (!root) return root.error();
  tree_.emplace(std::move(*root), staging_.shown(tree_name));
  return {};
}

Result<void> Builder::make_file(const Entry& entry, const Walker::Place& to) {
  const auto shown = staging_.shown(tree_name) + "/" + entry.path;
  const auto* same = entry.size == 0 ? nullptr : present_.at(entry.path);
  if (entry.size > 0 && (!same || same->hash != entry.hash)) same = present_.with(entry.hash);
  if (!same && new_.size() <= single_syncs_max) new_.push_back(entry.path);
  if (same) {
    if (auto taken = take_unchanged(entry, *same, to); !taken) return taken;
  } else if (entry.size == 0) {
    FileDescriptor made(::openat(to.folder, to.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!made) return system_error("write", shown, errno);
  } else if (const auto blob = Blobs::name_of(entry.hash); used_.insert(entry.hash).second) {
    // The blob keeps its name until the switch, for whoever tries again.
    if (::linkat(staging_.folder(), blob.c_str(), to.folder, to.name.c_str(), 0) != 0) return system_error("put in place", shown, errno);
  } else {
    FileDescriptor from(::openat(staging_.folder(), blob.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    FileDescriptor made(::openat(to.folder, to.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!from || !made) return system_error("write", shown, errno);
    if (auto copied = copy_content(from.get(), made.get(), shown); !copied) return copied;
  }
  own(to, entry, entry.mode);
  return {};
}

Result<void> Builder::take_unchanged(const Entry& entry, const Found& from, const Walker::Place& to) {
  const auto place =
      from.path.empty() ? Result<Walker::Place>(Walker::Place{old_->root(), staging_.destination().name}) : old_->place(from.path);
  if (!place) return Error{place.error().message, "changed"};
  auto changed = [&] { return Error{fmt::format("'{}' was changed meanwhile", printable(old_->shown(from.path), PATH_MAX)), "changed"}; };
  FileDescriptor old(::openat(place->folder, place->name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  const std::pair inode{from.stamp.device, from.stamp.inode};
  struct stat status {};
  auto is_as_found = [&] {
    if (!old || ::fstat(old.get(), &status) != 0) return false;
    auto stamp = stamp_of(status);
    if (present_.linked.contains(inode)) stamp.ctime_ns = from.stamp.ctime_ns;
    return stamp == from.stamp;
  };
  if (!is_as_found()) return changed();
  const auto owners = owned(entry);
  // Files of other paths stay files of their own, whatever is in them: a program may write to one of them in place.
  const bool is_alike = entry.path == from.path && entry.mode == from.mode && owners.uid == from.uid && owners.gid == from.gid;
  if (wish_.links_unchanged && is_alike && ::linkat(place->folder, place->name.c_str(), to.folder, to.name.c_str(), 0) == 0) {
    present_.linked.insert(inode);
    return {};
  }
  const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
  if (new_.size() <= single_syncs_max) new_.push_back(entry.path);
  FileDescriptor made(::openat(to.folder, to.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  const auto shown = staging_.shown(tree_name) + "/" + entry.path;
  if (!made) return system_error("write", shown, errno);
  if (auto copied = copy_content(old.get(), made.get(), shown); !copied) return copied;
  // Written in place meanwhile, it may be torn.
  if (!is_as_found()) return changed();
  ::futimens(made.get(), times.data());
  return {};
}

// Others may have it open or write to it: the same file in both trees, wherever that is possible.
Result<void> Builder::take_over(const Found& extra) {
  const auto from = old_->place(extra.path);
  const auto to = place_in_tree(extra.path);
  if (!from || !to) return from ? to.error() : from.error();
  if (extra.kind == Found::Kind::folder) {
    if (::mkdirat(to->folder, to->name.c_str(), while_building) != 0)
      return system_error("create folder", staging_.shown(extra.path), errno);
    return {};
  }
  if (::linkat(from->folder, from->name.c_str(), to->folder, to->name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return system_error("keep", old_->shown(extra.path), errno);
}

Result<void> Builder::finish() {
  // From the deepest up: a folder that may not be written gets its mode when all is in it.
  for (auto entry = manifest_.entries.rbegin(); entry != manifest_.entries.rend(); ++entry) {
    if (entry->kind != Entry::Kind::folder) continue;
    const auto* found = present_.at(entry->path);
    if (!wish_.replaces_folders && found && found->kind == Found::Kind::folder) continue;
    const auto mode = entry->path.empty() && found ? found->mode : entry->mode;
    const auto place = place_in_tree(entry->path);
    if (place) own(*place, *entry, mode);
  }
  for (auto extra = present_.found.rbegin(); wish_.keeps_extra && extra != present_.found.rend(); ++extra) {
    if (extra->kind != Found::Kind::folder || !is_extra(*extra)) continue;
    const auto place = place_in_tree(extra->path);
    if (place) own_as_found(place->folder, place->name, *extra, notes_);
  }
  return sync();
}

Result<void> Builder::sync() {
  auto fail = [this] { return system_error("write to the disk of", staging_.shown(), errno); };
  if (new_.size() > single_syncs_max) return ::syncfs(staging_.folder()) == 0 ? Result<void>{} : fail();
  auto sync_at = [&](const std::string& path, int flags) {
    const auto place = place_in_tree(path);
    const FileDescriptor fd(place ? ::openat(place->folder, place->name.c_str(), flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1);
    return fd && ::fsync(fd.get()) == 0;
  };
  for (const auto& path : new_)
    if (!sync_at(path, 0)) return fail();
  // The first ones bring the rest of the journal along; for what is there already these cost nothing.
  for (const auto& entry : manifest_.entries)
    if (entry.kind == Entry::Kind::folder && !sync_at(entry.path, O_DIRECTORY)) return fail();
  return {};
}

TreeIndex Builder::index() {
  TreeIndex index;
  const auto known_ns = file_clock_ns();
  for (const auto& entry : manifest_.entries) {
    if (entry.kind != Entry::Kind::file || entry.size == 0) continue;
    const auto place = place_in_tree(entry.path);
    struct stat status {};
    if (!place || ::fstatat(place->folder, place->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const auto stamp = stamp_of(status);
    // One that is linked could be changed by its other name.
    const auto* found = present_.at(entry.path);
    if (found && found->stamp.inode == stamp.inode && (found->stamp.mtime_ns != stamp.mtime_ns || found->stamp.size != stamp.size))
      continue;
    index.put(entry.path, stamp, entry.hash, known_ns);
  }
  return index;
}

}  // namespace gorgone::content
