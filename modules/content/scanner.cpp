#include "scanner.hpp"

#include <gorgone/log.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>

#include "owners.hpp"

namespace gorgone::content {
namespace {

constexpr int depth_max = 128;
constexpr int attempts_max = 3;
constexpr std::size_t buffer_size = std::size_t{256} << 10;

Found::Kind kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return Found::Kind::folder;
  if (S_ISREG(mode)) return Found::Kind::file;
  if (S_ISLNK(mode)) return Found::Kind::link;
  return Found::Kind::special;
}

}  // namespace

bool is_own_name(std::string_view name) { return name.starts_with('.') && name.ends_with(".gorgone"); }

Scanner::Scanner(std::string root, TreeIndex known, bool is_source)
    : root_(std::move(root)), known_(std::move(known)), is_source_(is_source) {}

Result<void> Scanner::list() {
  found_.clear();
  next_ = 0;
  struct stat status {};
  if (::lstat(root_.c_str(), &status) != 0) return system_error("find", root_, errno);
  if (!S_ISDIR(status.st_mode)) {
    auto folder = open_folder(root_.substr(0, std::max<std::size_t>(root_.rfind('/'), 1)));
    if (!folder) return folder.error();
    walker_.emplace(std::move(*folder), root_);
    return add(walker_->root(), root_.substr(root_.rfind('/') + 1), {}, 0);
  }
  auto folder = open_folder(root_);
  if (!folder) return folder.error();
  walker_.emplace(std::move(*folder), root_);
  if (auto added = add(walker_->root(), ".", {}, 0); !added) return added;
  std::sort(found_.begin(), found_.end(), [](const Found& left, const Found& right) { return left.path < right.path; });
  return {};
}

Result<void> Scanner::add(int folder, const std::string& name, std::string path, int depth) {
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT && !is_source_) return {};
    return system_error("find", walker_->shown(path), errno);
  }
  Found found{std::move(path), kind_of(status.st_mode), status.st_mode & 07777, status.st_uid, status.st_gid, stamp_of(status)};
  if (found.kind == Found::Kind::special && is_source_)
    return Error{
        fmt::format("'{}' is a device, a pipe or a socket, which cannot be sent", printable(walker_->shown(found.path), PATH_MAX))};
  if (found.kind == Found::Kind::link) {
    std::string target(PATH_MAX, '\0');
    const auto length = ::readlinkat(folder, name.c_str(), target.data(), target.size());
    if (length < 0) return system_error("read link", walker_->shown(found.path), errno);
    target.resize(static_cast<std::size_t>(length));
    found.target = std::move(target);
    const auto wrong = is_source_ ? wrong_with_link(found.path, found.target) : std::string();
    if (!wrong.empty())
      return Error{fmt::format("'{}' {}: '{}'", printable(walker_->shown(found.path), PATH_MAX), wrong, printable(found.target))};
  }
  if (found.kind == Found::Kind::file && found.stamp.size > 0) {
    found.hash = known_.find(found.path, found.stamp);
    // It may be changed from now on, and had not been since the index knew it.
    if (found.hash) found.known_ns = file_clock_ns();
  }
  found_.push_back(std::move(found));
  if (!S_ISDIR(status.st_mode)) return {};
  const auto at = found_.back().path;
  FileDescriptor inside(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (inside) return list_folder(inside.get(), at, depth + 1);
  if (!is_source_ && errno == EACCES) return {};
  return system_error("open folder", walker_->shown(at), errno);
}

Result<void> Scanner::list_folder(int folder, const std::string& path, int depth) {
  const auto shown = walker_->shown(path);
  if (depth > depth_max) return Error{fmt::format("'{}' lies deeper than {} folders", printable(shown), depth_max)};
  return for_each_name(folder, shown, [&](const std::string& name) -> Result<void> {
    if (is_own_name(name)) return {};
    return add(folder, name, path.empty() ? name : path + "/" + name, depth);
  });
}

Result<bool> Scanner::hash_for(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  do {
    const auto more = reading_ ? read_some() : open_next();
    if (!more) return more.error();
    if (!*more) return true;
  } while (std::chrono::steady_clock::now() < until);
  return false;
}

// False where nothing is left to be read.
Result<bool> Scanner::open_next() {
  auto is_done = [](const Found& found) { return found.kind != Found::Kind::file || found.stamp.size == 0 || found.hash; };
  while (next_ < found_.size() && is_done(found_[next_])) ++next_, attempts_ = 0;
  if (next_ == found_.size()) return false;
  auto& found = found_[next_];
  const auto began = file_clock_ns();
  const auto place = found.path.empty() ? Result<Walker::Place>(Walker::Place{walker_->root(), root_.substr(root_.rfind('/') + 1)})
                                        : walker_->place(found.path);
  if (!place) {
    if (auto outcome = give_up(place.error()); !outcome) return outcome.error();
    return true;
  }
  FileDescriptor fd(::openat(place->folder, place->name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    const auto why =
        fd ? Error{"'" + walker_->shown(found.path) + "' is another than it was"} : system_error("read", walker_->shown(found.path), errno);
    if (auto outcome = give_up(why); !outcome) return outcome.error();
    return true;
  }
  found.stamp = stamp_of(status);
  reading_.emplace(Reading{std::move(fd), {}, found.stamp, began});
  return true;
}

Result<bool> Scanner::read_some() {
  buffer_.resize(buffer_size);
  auto& found = found_[next_];
  const auto count = ::read(reading_->fd.get(), buffer_.data(), buffer_.size());
  if (count < 0 && errno == EINTR) return true;
  if (count < 0) {
    const auto why = system_error("read", walker_->shown(found.path), errno);
    if (auto outcome = give_up(why); !outcome) return outcome.error();
    return true;
  }
  const auto bytes = static_cast<std::size_t>(count);
  bytes_read_ += bytes;
  reading_->sum.feed(std::string_view(buffer_.data(), bytes));
  if (bytes == buffer_.size()) return true;
  // The end, unless a read was short for another reason: the size tells.
  struct stat status {};
  if (bytes > 0 && ::lseek(reading_->fd.get(), 0, SEEK_CUR) < static_cast<off_t>(reading_->stamp.size)) return true;
  ::fstat(reading_->fd.get(), &status);
  if (stamp_of(status) == reading_->stamp) {
    found.hash = reading_->sum.end();
    found.known_ns = reading_->began_ns;
    reading_.reset();
    return true;
  }
  reading_.reset();
  if (++attempts_ < attempts_max) return true;
  if (auto outcome = give_up(Error{"'" + walker_->shown(found.path) + "' is changed again and again while it is read"}); !outcome)
    return outcome.error();
  return true;
}

Result<void> Scanner::give_up(const Error& why) {
  reading_.reset();
  attempts_ = 0;
  ++next_;
  if (is_source_) return why;
  return {};
}

TreeIndex Scanner::index() const {
  TreeIndex index;
  for (const auto& found : found_)
    if (found.hash) index.put(found.path, found.stamp, *found.hash, found.known_ns);
  return index;
}

Manifest manifest_of(const std::vector<Found>& found, std::optional<mode_t> mode, bool has_owners) {
  Manifest manifest;
  std::map<std::pair<uid_t, gid_t>, std::uint32_t> known;
  manifest.entries.reserve(found.size());
  for (const auto& item : found) {
    Entry entry;
    entry.path = item.path;
    switch (item.kind) {
      case Found::Kind::folder:
        entry.kind = Entry::Kind::folder;
        entry.mode = item.mode & 0777;
        break;
      case Found::Kind::file:
        entry.kind = Entry::Kind::file;
        entry.mode = mode.value_or(item.mode & 0777);
        entry.size = item.stamp.size;
        entry.hash = item.hash.value_or(Hash{});
        break;
      case Found::Kind::link:
        entry.kind = Entry::Kind::link;
        entry.target = item.target;
        break;
      case Found::Kind::special:
        continue;
    }
    if (has_owners) {
      const auto [owner, is_new] = known.try_emplace({item.uid, item.gid}, static_cast<std::uint32_t>(known.size()));
      if (is_new) manifest.owners.push_back(account_of(item.uid, item.gid));
      entry.owner = owner->second;
    }
    manifest.entries.push_back(std::move(entry));
  }
  return manifest;
}

}  // namespace gorgone::content
