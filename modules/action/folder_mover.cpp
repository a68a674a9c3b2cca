#include "folder_mover.hpp"

#include "files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <string_view>
#include <vector>

namespace gorgone::action {
namespace {

constexpr auto folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

struct Entry {
  std::string name;
  bool is_folder = false;
};

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

/// All of a folder first: moving changes it.
std::vector<Entry> entries_of(int folder) {
  std::vector<Entry> entries;
  const int again = ::openat(folder, ".", folder_flags);
  if (again < 0) return entries;
  const std::unique_ptr<DIR, CloseFolder> list(::fdopendir(again));
  if (!list) {
    ::close(again);
    return entries;
  }
  while (const auto* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat status {};
    const bool is_there = ::fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_there) entries.push_back({std::string(name), S_ISDIR(status.st_mode)});
  }
  return entries;
}

std::string below(const std::string& path, const std::string& name) { return path.empty() ? name : path + "/" + name; }

/// What `name` is, made anew under another name in another folder; a file with owner, mode and times, and synced.
Result<void> make_copy(int from, const std::string& name, int to, const std::string& copy, const std::string& path) {
  struct stat status {};
  if (::fstatat(from, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return system_error("look at", path, errno);
  if (S_ISLNK(status.st_mode)) {
    std::array<char, PATH_MAX> target{};
    const auto size = ::readlinkat(from, name.c_str(), target.data(), target.size() - 1);
    if (size < 0 || ::symlinkat(target.data(), to, copy.c_str()) != 0) return system_error("make link", path, errno);
    return {};
  }
  const FileDescriptor in(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!in) return system_error("open", path, errno);
  const FileDescriptor out(::openat(to, copy.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) return system_error("create", path, errno);
  auto copied = copy_content(in.get(), out.get(), path, path);
  Notes unheard;
  // After it, for writing takes a set-user-id bit away.
  apply(out.get(), path, AttributeIds{status.st_uid, status.st_gid, status.st_mode & 07777}, unheard);
  const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
  ::futimens(out.get(), times.data());
  if (copied && ::fsync(out.get()) != 0) copied = system_error("sync", path, errno);
  return copied;
}

/// For a destination that has another file system mounted below it.
Result<void> carry_over(int from, int to, const std::string& name, const std::string& path) {
  const auto beside = ".gorgone-" + name.substr(0, 200);
  ::unlinkat(to, beside.c_str(), 0);
  auto carried = make_copy(from, name, to, beside, path);
  if (carried && ::renameat(to, beside.c_str(), to, name.c_str()) != 0) carried = system_error("put in place", path, errno);
  if (!carried) ::unlinkat(to, beside.c_str(), 0);
  return carried;
}

}  // namespace

Result<void> check_way(int from, int to, const std::string& path) {
  for (const auto& entry : entries_of(from)) {
    const auto place = below(path, entry.name);
    struct stat status {};
    if (::fstatat(to, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return system_error("look at", place, errno);
    }
    if (!entry.is_folder && S_ISDIR(status.st_mode)) return system_error("put in place", place, EISDIR);
    if (!entry.is_folder) continue;
    if (!S_ISDIR(status.st_mode))
      return Error{fmt::format("the destination leads through '{}', which is a link or a file, expected a folder", place)};
    FileDescriptor inner(::openat(from, entry.name.c_str(), folder_flags)), outer(::openat(to, entry.name.c_str(), folder_flags));
    if (!inner || !outer) return system_error("open folder", place, errno);
    auto checked = check_way(inner.get(), outer.get(), place);
    if (!checked) return checked;
  }
  return {};
}

Result<void> move_content(int from, int to, const AttributeIds& ids, Notes& notes, const std::string& path) {
  for (const auto& entry : entries_of(from)) {
    const auto place = below(path, entry.name);
    const auto* name = entry.name.c_str();
    struct stat status {};
    const bool is_there = ::fstatat(to, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!entry.is_folder || !is_there) {
      if (::renameat(from, name, to, name) == 0) continue;
      if (errno != EXDEV) return system_error("put in place", place, errno);
      if (!entry.is_folder) {
        auto carried = carry_over(from, to, entry.name, place);
        if (!carried) return carried;
        continue;
      }
      struct stat made {};
      ::fstatat(from, name, &made, AT_SYMLINK_NOFOLLOW);
      if (::mkdirat(to, name, made.st_mode & 0777) != 0) return system_error("create folder", place, errno);
    }
    FileDescriptor inner(::openat(from, name, folder_flags)), outer(::openat(to, name, folder_flags));
    if (!inner || !outer) return system_error("open folder", place, errno);
    apply(outer.get(), place, AttributeIds{ids.uid, ids.gid, {}}, notes);
    auto moved = move_content(inner.get(), outer.get(), ids, notes, place);
    if (!moved) return moved;
  }
  return {};
}

}  // namespace gorgone::action
