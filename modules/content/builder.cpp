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

void own(Notes& notes, int folder, const std::string& name, const std::string& path, uid_t uid, gid_t gid, mode_t mode, bool is_link) {
  struct stat now {};
  if (::fstatat(folder, name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) return;
  constexpr auto keep_uid = static_cast<uid_t>(-1);
  constexpr auto keep_gid = static_cast<gid_t>(-1);
  // Apart, for a daemon that may not give a file away may still set one of its own groups.
  if (uid != keep_uid && uid != now.st_uid && ::fchownat(folder, name.c_str(), uid, keep_gid, AT_SYMLINK_NOFOLLOW) != 0)
    notes.refused("set the owner of", path, errno);
  if (gid != keep_gid && gid != now.st_gid && ::fchownat(folder, name.c_str(), keep_uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    notes.refused("set the group of", path, errno);
  if (!is_link && mode != (now.st_mode & 07777) && ::fchmodat(folder, name.c_str(), mode, 0) != 0)
    notes.refused("set the mode of", path, errno);
}

}  // namespace

void own_as_found(int folder, const std::string& name, const Found& found, Notes& notes) {
  own(notes, folder, name, found.path, found.uid, found.gid, found.mode & 07777, found.kind == Found::Kind::link);
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

bool is_as_wanted(const Entry& entry, const Found* found, const Owners& owners) {
  if (!found || !is_kind(entry.kind, found->kind)) return false;
  if ((owners.uid && *owners.uid != found->uid) || (owners.gid && *owners.gid != found->gid)) return false;
  if (entry.kind == Entry::Kind::link) return entry.target == found->target;
  if (entry.kind == Entry::Kind::folder) return entry.path.empty() || entry.mode == found->mode;
  return entry.mode == found->mode && entry.size == found->stamp.size && (entry.size == 0 || found->hash == entry.hash);
}

bool is_as_wanted(const Manifest& manifest, const Present& present, const Owners& owners, bool removes_extra) {
  if (removes_extra && manifest.entries.size() != present.found.size()) return false;
  return std::all_of(manifest.entries.begin(), manifest.entries.end(),
                     [&](const Entry& entry) { return is_as_wanted(entry, present.at(entry.path), owners); });
}

Builder::Builder(const Staging& staging, const Manifest& manifest, const Present& present, const Wish& wish)
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

Result<void> Builder::start() {
  staging_.remove(tree_name);
  const auto& destination = staging_.destination();
  if (destination.exists) {
    auto folder = open_folder(S_ISDIR(destination.status.st_mode) ? destination.path : destination.parent);
    if (!folder) return folder.error();
    old_.emplace(std::move(*folder), destination.path);
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

std::pair<uid_t, gid_t> Builder::owners_at(const std::string& path) const {
  const auto* found = present_.at(path);
  return {wish_.owners.uid.value_or(found ? found->uid : ::geteuid()),
          wish_.owners.gid.value_or(found ? found->gid : static_cast<gid_t>(-1))};
}

Result<void> Builder::make(const Entry& entry) {
  const auto to = place_in_tree(entry.path);
  if (!to) return to.error();
  const auto shown = staging_.shown(tree_name) + "/" + entry.path;
  if (entry.kind == Entry::Kind::file) return make_file(entry, *to);
  if (entry.kind == Entry::Kind::link) {
    if (::symlinkat(entry.target.c_str(), to->folder, to->name.c_str()) != 0) return system_error("make link", shown, errno);
    const auto [uid, gid] = owners_at(entry.path);
    own(notes_, to->folder, to->name, entry.path, uid, gid, 0, true);
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
  const auto [uid, gid] = owners_at(entry.path);
  own(notes_, to.folder, to.name, named(entry.path), uid, gid, entry.mode, false);
  return {};
}

Result<void> Builder::take_unchanged(const Entry& entry, const Found& from, const Walker::Place& to) {
  const auto place =
      from.path.empty() ? Result<Walker::Place>(Walker::Place{old_->root(), staging_.destination().name}) : old_->place(from.path);
  if (!place) return Error{place.error().message, "changed"};
  auto changed = [&] { return Error{fmt::format("'{}' was changed meanwhile", printable(old_->shown(from.path), PATH_MAX)), "changed"}; };
  FileDescriptor old(::openat(place->folder, place->name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!old || ::fstat(old.get(), &status) != 0 || !(stamp_of(status) == from.stamp)) return changed();
  const auto [uid, gid] = owners_at(entry.path);
  const bool is_alike = entry.mode == from.mode && uid == from.uid && (gid == static_cast<gid_t>(-1) || gid == from.gid);
  if (wish_.links_unchanged && is_alike && ::linkat(place->folder, place->name.c_str(), to.folder, to.name.c_str(), 0) == 0) return {};
  if (new_.size() <= single_syncs_max) new_.push_back(entry.path);
  FileDescriptor made(::openat(to.folder, to.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  const auto shown = staging_.shown(tree_name) + "/" + entry.path;
  if (!made) return system_error("write", shown, errno);
  if (auto copied = copy_content(old.get(), made.get(), shown); !copied) return copied;
  // Written in place meanwhile, it may be torn.
  struct stat after {};
  if (::fstat(old.get(), &after) != 0 || !(stamp_of(after) == from.stamp)) return changed();
  const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
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
    const auto [uid, gid] = owners_at(entry->path);
    const auto mode = entry->path.empty() && found ? found->mode : entry->mode;
    const auto place = place_in_tree(entry->path);
    if (place) own(notes_, place->folder, place->name, named(entry->path), uid, gid, mode, false);
  }
  for (auto extra = present_.found.rbegin(); wish_.keeps_extra && extra != present_.found.rend(); ++extra) {
    if (extra->kind != Found::Kind::folder || !is_extra(*extra)) continue;
    const auto place = place_in_tree(extra->path);
    if (place) own(notes_, place->folder, place->name, extra->path, extra->uid, extra->gid, extra->mode, false);
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
