#include "swap.hpp"

#include <gorgone/json.hpp>
#include <gorgone/log.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <stdio.h>

#include <cerrno>

namespace gorgone::content {
namespace {

constexpr const char *tree_name = "tree", *previous_name = "previous", *marker_name = "switching", *trash_name = "trash",
                     *held_name = "held";
constexpr std::size_t marker_max = std::size_t{256} << 20;

std::string hex_of(const std::optional<Hash>& hash) { return hash ? to_hex(*hash) : ""; }

std::string write_marker(const Switch& what) {
  json::array steps;
  // Paths may be any bytes: in hexadecimal digits.
  for (const auto& step : what.steps) {
    std::string hex;
    for (const char c : step.path) fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<unsigned char>(c));
    steps.push_back(json::array{static_cast<int>(step.kind), hex, step.inode});
  }
  return to_text(json::value(json::object{{"in_one_step", what.in_one_step},
                                          {"rollback", what.is_rollback},
                                          {"keeps_previous", what.keeps_previous},
                                          {"keeps_extra", what.keeps_extra},
                                          {"inode", what.inode},
                                          {"now", hex_of(what.now)},
                                          {"before", hex_of(what.before)},
                                          {"steps", std::move(steps)}}));
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

Result<Switch> read_marker(std::string_view text) {
  const auto data = parse_json(text);
  if (!data) return data.error();
  Switch what;
  what.in_one_step = truth_of(member(*data, "in_one_step"), true);
  what.is_rollback = truth_of(member(*data, "rollback"), false);
  what.keeps_previous = truth_of(member(*data, "keeps_previous"), true);
  what.keeps_extra = truth_of(member(*data, "keeps_extra"), true);
  what.inode = static_cast<std::uint64_t>(integer_of(member(*data, "inode")).value_or(0));
  what.now = hash_from(from_hex(text_of(member(*data, "now")).value_or("")));
  what.before = hash_from(from_hex(text_of(member(*data, "before")).value_or("")));
  const auto* steps = member(*data, "steps");
  if (steps && steps->is_array())
    for (const auto& step : steps->get_array()) {
      const auto& list = step.as_array();
      what.steps.push_back({static_cast<Step::Kind>(integer_of(&list.at(0)).value_or(0)), from_hex(text_of(&list.at(1)).value_or("")),
                            static_cast<std::uint64_t>(integer_of(&list.at(2)).value_or(0))});
    }
  return what;
}

int exchange(const Walker::Place& one, const Walker::Place& other) {
  return ::renameat2(one.folder, one.name.c_str(), other.folder, other.name.c_str(), RENAME_EXCHANGE) == 0 ? 0 : errno;
}

int rename(const Walker::Place& from, const Walker::Place& to) {
  return ::renameat(from.folder, from.name.c_str(), to.folder, to.name.c_str()) == 0 ? 0 : errno;
}

std::uint64_t inode_at(int folder, const std::string& name) {
  struct stat status {};
  return ::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

// A folder that goes into another one must be writable itself, for its ".." changes, and so must the folders that things go out of and
// into: for that moment.
class Writable {
 public:
  explicit Writable(const Walker::Place& place)
      : at_(::openat(place.folder, place.name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
    struct stat status {};
    if (!at_ || ::fstat(at_.get(), &status) != 0 || (status.st_mode & S_IWUSR) != 0) return;
    mode_ = status.st_mode & 07777;
    set(*mode_ | S_IWUSR);
  }
  ~Writable() {
    if (mode_) set(*mode_);
  }
  Writable(const Writable&) = delete;
  Writable& operator=(const Writable&) = delete;

 private:
  void set(mode_t mode) const { (void)::chmod(fmt::format("/proc/self/fd/{}", at_.get()).c_str(), mode); }

  FileDescriptor at_;
  std::optional<mode_t> mode_;
};

/// `move` gives an errno; what it moves are the two places, one of which may be free.
template <class Move>
int move_between(const Walker::Place& one, const Walker::Place& other, Move move) {
  const int error = move();
  if (error != EACCES) return error;
  const Writable first(one), second(other);
  return move();
}

/// The same below the two tops, where the folders above the two places are part of the trees.
template <class Move>
int move_inside(const Walker::Place& one, const Walker::Place& other, Move move) {
  const int error = move_between(one, other, move);
  if (error != EACCES) return error;
  const Writable above_one({one.folder, "."}), above_other({other.folder, "."});
  return move_between(one, other, move);
}

void sync_folder(int folder) {
  const auto copy = copy_of(folder);
  if (copy) ::fsync(copy.get());
}

// Both ends of a switch file by file.
class Both {
 public:
  static Result<Both> open(const Staging& staging) {
    auto tree = open_folder(staging.path(tree_name));
    auto there = open_folder(staging.destination().path);
    if (!tree || !there) return tree ? there.error() : tree.error();
    return Both(staging, std::move(*tree), std::move(*there));
  }

  /// Also the way back: the same step again, with the other inode.
  Result<void> take(const Step& step) {
    const auto from = tree_.place(step.path), to = there_.place(step.path);
    if (!from || !to) return from ? to.error() : from.error();
    if (inode_at(to->folder, to->name) == step.inode) return {};
    const int error = move_inside(*from, *to, [&] {
      if (step.kind == Step::Kind::put) return rename(*from, *to);
      if (step.kind == Step::Kind::take) return rename(*to, *from);
      const int failed = exchange(*from, *to);
      return failed == EINVAL || failed == ENOSYS ? exchange_by_renames(*from, *to) : failed;
    });
    if (error != 0) return system_error("put in place", there_.shown(step.path), error);
    tree_.forget();
    there_.forget();
    return {};
  }

  /// A step of a switch that was interrupted: it may have been taken, and others may have made and removed files since. It is no reason
  /// to stop: the switch has begun, and goes on to its end.
  Result<void> take_again(Step step) {
    const bool goes = step.kind == Step::Kind::take;
    auto from = tree_.place(step.path);
    if (!from && from.error().code == "missing") return {};
    if (!from) return from.error();
    const auto staged = inode_at(from->folder, from->name);
    // What stands there now, if it is not what this step has put there, is somebody's who came later.
    if (goes ? staged != 0 : staged != step.inode) return {};
    auto to = there_.place(step.path);
    if (!to && to.error().code == "missing") {
      if (goes) return {};
      make_way(step.path);
      to = there_.place(step.path);
    }
    if (!to) return to.error();
    const bool is_there = inode_at(to->folder, to->name) != 0;
    if (!goes) step.kind = is_there ? Step::Kind::exchange : Step::Kind::put;
    return goes && !is_there ? Result<void>{} : take(step);
  }

  std::uint64_t inode_in_place(const std::string& path) {
    const auto place = there_.place(path);
    return place ? inode_at(place->folder, place->name) : 0;
  }
  void sync() {
    sync_folder(there_.root());
    sync_folder(tree_.root());
  }

 private:
  Both(const Staging& staging, FileDescriptor tree, FileDescriptor there)
      : staging_(&staging), tree_(std::move(tree), staging.shown(tree_name)), there_(std::move(there), staging.destination().path) {}

  // The folders above a path, as they are in the tree.
  void make_way(const std::string& path) {
    Notes untold;
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const auto above = path.substr(0, slash);
      const auto from = tree_.place(above), to = there_.place(above);
      struct stat status {};
      if (!from || !to || ::fstatat(from->folder, from->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return;
      if (::mkdirat(to->folder, to->name.c_str(), 0700) != 0) continue;
      own_as_found(to->folder, to->name, Found{above, Found::Kind::folder, status.st_mode, status.st_uid, status.st_gid, {}}, untold);
    }
  }

  // Where the file system cannot exchange: what is there is replaced in one step all the same, if it is a file.
  int exchange_by_renames(const Walker::Place& from, const Walker::Place& to) {
    ::unlinkat(staging_->folder(), held_name, 0);
    if (::linkat(to.folder, to.name.c_str(), staging_->folder(), held_name, 0) != 0) return errno;
    if (::renameat(from.folder, from.name.c_str(), to.folder, to.name.c_str()) != 0) return errno;
    return ::renameat(staging_->folder(), held_name, from.folder, from.name.c_str()) == 0 ? 0 : errno;
  }

  const Staging* staging_;
  Walker tree_, there_;
};

// All steps, or none: those that were taken are taken back where one fails. A switch that is resumed only goes forwards: which of its
// steps were taken before is not known, and what has failed is tried again the next time.
Result<void> take_all(const Staging& staging, const std::vector<Step>& steps, bool is_resumed) {
  auto both = Both::open(staging);
  if (!both) return both.error();
  std::vector<Step> back;
  for (const auto& step : steps) {
    if (is_resumed) {
      if (auto taken = both->take_again(step); !taken) return taken;
      continue;
    }
    Step reverse = step;
    reverse.inode = both->inode_in_place(step.path);
    if (step.kind == Step::Kind::put) reverse.kind = Step::Kind::take;
    if (step.kind == Step::Kind::take) reverse.kind = Step::Kind::put;
    if (auto taken = both->take(step); !taken) {
      for (auto undo = back.rbegin(); undo != back.rend(); ++undo) (void)both->take(*undo);
      return taken;
    }
    back.push_back(std::move(reverse));
  }
  both->sync();
  return {};
}

// Files that others made at the destination between the building of the tree and the switch.
void carry_late(const Staging& staging, const Manifest& before, const Manifest& now) {
  Scanner old(staging.path(tree_name), {}, false);
  if (!old.list() || old.found().empty() || old.found().front().kind != Found::Kind::folder) return;
  auto from_root = open_folder(staging.path(tree_name)), to_root = open_folder(staging.destination().path);
  if (!from_root || !to_root) return;
  Walker from(std::move(*from_root), ""), to(std::move(*to_root), "");
  std::vector<const Found*> folders;
  for (const auto& found : old.found()) {
    if (found.path.empty() || before.find(found.path) || now.find(found.path)) continue;
    const auto source = from.place(found.path), target = to.place(found.path);
    if (!source || !target || inode_at(target->folder, target->name) == found.stamp.inode) continue;
    if (found.kind == Found::Kind::folder) {
      // One that is there was taken over by the builder, or made by an earlier try of this.
      struct stat status {};
      ::mkdirat(target->folder, target->name.c_str(), 0700);
      if (::fstatat(target->folder, target->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
        folders.push_back(&found);
    } else {
      ::unlinkat(target->folder, target->name.c_str(), 0);
      if (::linkat(source->folder, source->name.c_str(), target->folder, target->name.c_str(), 0) != 0) continue;
    }
  }
  // From the deepest up: a folder that may not be written gets its mode when all is in it.
  Notes untold;
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
    if (const auto place = to.place((*folder)->path)) own_as_found(place->folder, place->name, **folder, untold);
}

// After the last step: each part may have been done before.
Result<void> finish(const Staging& staging, const Switch& what) {
  if (staging.has(tree_name)) {
    if (what.in_one_step && what.keeps_extra && (what.now || what.is_rollback)) {
      // A tree that was there before the first push has none: what was not pushed since belongs to others.
      const auto now = what.now ? staging.accepted_manifest(*what.now) : Manifest{};
      const auto before = what.before ? staging.accepted_manifest(*what.before) : std::nullopt;
      // Where it cannot be read, nobody knows which files are ours, and none of ours may come back.
      if (now && (!what.before || before)) carry_late(staging, before.value_or(Manifest{}), *now);
    }
    if (!what.in_one_step) {
      // Here the top folders stay and what is in them has changed places.
      struct stat there {};
      if (what.now && ::lstat(staging.destination().path.c_str(), &there) == 0) (void)staging.note_tree(there.st_ino, *what.now);
      if (what.before) (void)staging.note_tree(staging.inode_of(tree_name), *what.before);
    }
    if (staging.has(previous_name)) {
      staging.make_room(trash_name);
      ::renameat(staging.folder(), previous_name, staging.folder(), trash_name);
    }
    const auto* name = what.keeps_previous ? previous_name : trash_name;
    if (!what.keeps_previous) staging.make_room(trash_name);
    if (::renameat(staging.folder(), tree_name, staging.folder(), name) != 0)
      return system_error("keep what was replaced as", staging.shown(name), errno);
  }
  ::unlinkat(staging.folder(), marker_name, 0);
  sync_folder(staging.folder());
  return {};
}

}  // namespace

std::vector<Step> steps_between(const Present& staged, const Present& present, const std::function<bool(const Found&)>& goes) {
  std::vector<Step> steps;
  std::string whole;  // a folder that is moved with all that is in it
  auto is_below = [&whole](const std::string& path) { return !whole.empty() && path.starts_with(whole) && path[whole.size()] == '/'; };
  for (const auto& found : staged.found) {
    if (found.path.empty() || is_below(found.path)) continue;
    const auto* there = present.at(found.path);
    if (!there) {
      steps.push_back({Step::Kind::put, found.path, found.stamp.inode});
      whole = found.path;
      continue;
    }
    const bool both_folders = found.kind == Found::Kind::folder && there->kind == Found::Kind::folder;
    const bool is_same = found.kind == there->kind && found.mode == there->mode && found.uid == there->uid && found.gid == there->gid &&
                         found.target == there->target &&
                         (both_folders || (found.stamp.size == there->stamp.size && found.hash == there->hash));
    if (both_folders || is_same) continue;
    steps.push_back({Step::Kind::exchange, found.path, found.stamp.inode});
    whole = found.path;
  }
  whole.clear();
  for (const auto& found : present.found) {
    if (found.path.empty() || is_below(found.path) || staged.at(found.path) || !goes(found)) continue;
    // What is below something that was exchanged went with it.
    const auto slash = found.path.rfind('/');
    const auto* above = slash == std::string::npos ? nullptr : staged.at(std::string_view(found.path).substr(0, slash));
    if (slash != std::string::npos && (!above || above->kind != Found::Kind::folder)) continue;
    steps.push_back({Step::Kind::take, found.path, 0});
    whole = found.path;
  }
  return steps;
}

Result<void> perform(const Staging& staging, Switch& what) {
  const auto lock = staging.lock();
  if (!lock) return lock.error();
  if (what.inode == 0) what.inode = staging.inode_of(what.is_rollback ? previous_name : tree_name);
  if (const auto marked = write_file(staging.path(marker_name), write_marker(what)); !marked) return marked;
  sync_folder(staging.folder());
  auto take_back = [&](Error why) -> Result<void> {
    if (what.is_rollback) ::renameat(staging.folder(), tree_name, staging.folder(), previous_name);
    ::unlinkat(staging.folder(), marker_name, 0);
    return why;
  };
  if (what.is_rollback && ::renameat(staging.folder(), previous_name, staging.folder(), tree_name) != 0)
    return take_back(system_error("take back", staging.shown(previous_name), errno));
  const auto& there = staging.destination();
  if (what.in_one_step) {
    auto parent = open_folder(there.parent);
    if (!parent) return take_back(parent.error());
    const Walker::Place tree{staging.folder(), tree_name}, place{parent->get(), there.name};
    const int error = move_between(tree, place, [&] { return there.exists ? exchange(tree, place) : rename(tree, place); });
    const bool is_of_the_system =
        error == EINVAL || error == ENOSYS || error == EXDEV || error == EBUSY || error == EACCES || error == EPERM;
    if (error != 0) {
      auto why = system_error("put the new content in the place of", there.path, error);
      if (is_of_the_system) why.code = "not_in_one_step";
      return take_back(std::move(why));
    }
    sync_folder(parent->get());
  } else if (const auto taken = take_all(staging, what.steps, false); !taken) {
    return take_back(taken.error());
  }
  // It is there now, whatever becomes of what it has replaced.
  if (const auto finished = finish(staging, what); !finished) what.unfinished = finished.error().message;
  return {};
}

Result<bool> resume(const Staging& staging) {
  const auto lock = staging.lock();
  if (!lock) return lock.error();
  const auto text = read_file(staging.path(marker_name), marker_max);
  if (!text) return false;
  const auto what = read_marker(*text);
  if (!what) {
    // It is written beside and renamed, so it is none of ours or of a broken disk.
    ::unlinkat(staging.folder(), marker_name, 0);
    return Error{fmt::format("'{}' is broken: what was interrupted is not known", staging.shown(marker_name))};
  }
  struct stat there {};
  const bool exists = ::lstat(staging.destination().path.c_str(), &there) == 0;
  const bool has_begun = what->in_one_step ? exists && there.st_ino == what->inode : true;
  const bool is_tree_taken = what->is_rollback && staging.inode_of(previous_name) == what->inode;
  if (is_tree_taken || !has_begun) {
    if (what->is_rollback && !is_tree_taken) ::renameat(staging.folder(), tree_name, staging.folder(), previous_name);
    ::unlinkat(staging.folder(), marker_name, 0);
    return false;
  }
  if (!what->in_one_step && staging.has(tree_name)) {
    if (const auto taken = take_all(staging, what->steps, true); !taken) return taken.error();
  }
  if (const auto finished = finish(staging, *what); !finished) return finished.error();
  return true;
}

}  // namespace gorgone::content
