#include "archive.hpp"

#include "archive_reader.hpp"
#include "files.hpp"
#include "folder_mover.hpp"

#include <gorgone/message.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <string_view>
#include <unordered_set>

namespace gorgone::action {
namespace {

// What even an empty file or folder takes on the disk.
constexpr std::uint64_t member_cost = 4096;
constexpr auto folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

constexpr std::string_view staging_begin = ".gorgone-unpacking-";

/// Two copies may unpack over the same folder at the same time, and a restarted daemon may have the number of the one before.
std::string unfinished_name() { return std::string(staging_begin) + new_token().substr(0, 16); }

std::string shown(const Path& path) { return fmt::format("{}", fmt::join(path, "/")); }

class Unpacker {
 public:
  Unpacker(int root, const AttributeIds& ids, Notes& notes) : root_(root), ids_(ids), notes_(notes) {}

  Result<void> put(const Member& member, ArchiveReader& reader) {
    if (member.path.empty()) return {};  // the destination itself keeps what it has
    auto parent = enter({member.path.begin(), member.path.end() - 1});
    if (!parent) return parent.error();
    switch (member.kind) {
      case Member::Kind::file:
        return put_file(parent->get(), member, reader);
      case Member::Kind::folder:
        return put_folder(parent->get(), member);
      case Member::Kind::symlink:
        return put_in_place(parent->get(), member, ::symlinkat(member.target.c_str(), parent->get(), name_.c_str()));
      case Member::Kind::hardlink:
        return put_hardlink(parent->get(), member);
    }
    return {};
  }

 private:
  /// Opens a folder below the root part by part, making what is missing, following no link.
  Result<FileDescriptor> enter(const Path& path) {
    FileDescriptor folder(::fcntl(root_, F_DUPFD_CLOEXEC, 0));
    if (!folder) return system_error("open", shown(path), errno);
    for (const auto& part : path) {
      if (::mkdirat(folder.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return system_error("create folder", shown(path), errno);
      FileDescriptor next(::openat(folder.get(), part.c_str(), folder_flags));
      if (!next && (errno == ELOOP || errno == ENOTDIR)) {
        return Error{fmt::format("'{}' leads through '{}', which is a link or a file, expected a folder", shown(path), part)};
      }
      if (!next) return system_error("open folder", shown(path), errno);
      folder = std::move(next);
    }
    return folder;
  }

  Result<void> put_file(int parent, const Member& member, ArchiveReader& reader) {
    FileDescriptor out(::openat(parent, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out) return system_error("create", shown(member.path), errno);
    auto written = reader.write_to(out.get());
    if (!written) {
      ::unlinkat(parent, name_.c_str(), 0);
      return Error{fmt::format("{} ({})", written.error().message, shown(member.path))};
    }
    auto ids = owners(member);
    ids.mode = ids_.mode.value_or(member.mode);
    apply(out.get(), shown(member.path), ids, notes_);
    const std::array<timespec, 2> times{timespec{0, UTIME_NOW}, timespec{member.mtime, 0}};
    ::futimens(out.get(), times.data());
    return put_in_place(parent, member, 0);
  }

  Result<void> put_folder(int parent, const Member& member) {
    const auto& name = member.path.back();
    auto is_new = ::mkdirat(parent, name.c_str(), 0700) == 0;
    if (!is_new && errno != EEXIST) return system_error("create folder", shown(member.path), errno);
    FileDescriptor folder(::openat(parent, name.c_str(), folder_flags));
    if (!folder) return system_error("open folder", shown(member.path), errno);
    auto ids = owners(member);
    if (is_new) ids.mode = member.mode | 0700;  // its files must go into it
    apply(folder.get(), shown(member.path), ids, notes_);
    return {};
  }

  Result<void> put_hardlink(int parent, const Member& member) {
    auto other = enter({member.link.begin(), member.link.end() - 1});
    if (!other) return other.error();
    // A symlink that stays inside where it stands need not do so elsewhere.
    struct stat status {};
    if (::fstatat(other->get(), member.link.back().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) {
      return Error{fmt::format("'{}' is a hard link to '{}', which is no file", shown(member.path), shown(member.link))};
    }
    return put_in_place(parent, member, ::linkat(other->get(), member.link.back().c_str(), parent, name_.c_str(), 0));
  }

  /// Renames what was made into its place.
  Result<void> put_in_place(int parent, const Member& member, int made) {
    if (made == 0) made = ::renameat(parent, name_.c_str(), parent, member.path.back().c_str());
    auto error = errno;
    ::unlinkat(parent, name_.c_str(), 0);  // a rename over a hard link to the same file does nothing and succeeds
    if (made == 0) return {};
    return system_error("put in place", shown(member.path), error);
  }

  AttributeIds owners(const Member& member) const {
    AttributeIds ids;
    ids.uid = ids_.uid;
    ids.gid = ids_.gid;
    if (::geteuid() != 0) return ids;
    if (!ids.uid) ids.uid = member.uid;
    if (!ids.gid) ids.gid = member.gid;
    return ids;
  }

  int root_;
  const AttributeIds& ids_;
  Notes& notes_;
  std::string name_ = unfinished_name();
};

/// Counts files and folders, those too that are made because something lies in them.
class PlaceCount {
 public:
  /// How many this member adds: itself, and the folders it lies in that none before it needed.
  std::size_t add(const Member& member) {
    std::size_t added = 1, folder = 0;
    for (std::size_t i = 0; i < member.path.size(); ++i) {
      const bool is_itself = i + 1 == member.path.size();
      if (is_itself && member.kind != Member::Kind::folder) break;
      folder = std::hash<std::string>()(member.path[i]) + folder * 31;
      if (folders_.insert(folder).second && !is_itself) ++added;
    }
    return added;
  }

 private:
  std::unordered_set<std::size_t> folders_;  // their paths as numbers
};

/// Reads all of the archive and gives each member to `take`; the number of members.
template <class Take>
Result<std::size_t> for_each(const std::string& archive, Take take) {
  auto reader = ArchiveReader::open(archive);
  if (!reader) return reader.error();
  for (std::size_t count = 0;; ++count) {
    auto member = reader->next();
    if (!member) return member.error();
    if (!*member) return count;
    Result<void> taken = take(**member, *reader);
    if (!taken) return taken.error();
  }
}

/// All of it into a folder of its own inside of the destination, then from there into place: what is wrong with it shows before
/// anything is changed. It is inside, for beside it this daemon may have no right to write.
Result<std::size_t> unpack_beside(const std::string& archive, int root, const std::string& folder, const AttributeIds& ids, Notes& notes) {
  remove_leftovers(root, staging_begin);
  const auto name = unfinished_name();
  if (::mkdirat(root, name.c_str(), 0700) != 0) return system_error("create a folder in", folder, errno);
  FileDescriptor staging(::openat(root, name.c_str(), folder_flags));
  if (!staging) return system_error("open a folder in", folder, errno);
  ::flock(staging.get(), LOCK_EX | LOCK_NB);
  Unpacker unpacker(staging.get(), ids, notes);
  auto unpacked = for_each(archive, [&](const Member& member, ArchiveReader& reader) { return unpacker.put(member, reader); });
  if (unpacked) {
    if (::syncfs(staging.get()) != 0) unpacked = system_error("sync", folder, errno);
    auto moved = unpacked ? check_way(staging.get(), root) : Result<void>{};
    if (moved && unpacked) moved = move_content(staging.get(), root, ids, notes);
    if (!moved) unpacked = moved.error();
    ::fsync(root);
  }
  remove_tree(root, name);
  return unpacked;
}

}  // namespace

Result<std::size_t> unpack(const std::string& archive, const std::string& folder, const AttributeIds& ids, Notes& notes,
                           std::uint64_t bytes_max) {
  std::uint64_t bytes = 0;
  PlaceCount places;
  auto judged = for_each(archive, [&](const Member& member, ArchiveReader&) -> Result<void> {
    bytes += std::min(member.size, bytes_max) + member_cost * places.add(member);
    if (bytes <= bytes_max) return {};
    return Error{fmt::format("archive refused: it unpacks to more than {} bytes (modules.action.max_unpacked)", bytes_max)};
  });
  if (!judged) return judged;
  auto room = check_room(folder, bytes);
  if (!room) return room.error();
  struct stat status {};
  const bool is_new = ::stat(folder.c_str(), &status) != 0;
  auto made = make_folder(folder);
  if (!made) return made.error();
  FileDescriptor root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return system_error("open folder", folder, errno);
  auto unpacked = unpack_beside(archive, root.get(), folder, ids, notes);
  if (!unpacked && is_new) ::rmdir(folder.c_str());
  return unpacked;
}

}  // namespace gorgone::action
