#include "staging.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <set>

namespace gorgone::content {
namespace {

constexpr std::size_t manifest_bytes_max = std::size_t{128} << 20;
constexpr const char* inside_name = ".gorgone";

std::optional<Hash> read_hex(std::string_view hex) {
  Hash hash;
  if (hex.size() != 2 * hash.size()) return {};
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const auto byte = std::string(hex.substr(2 * i, 2));
    if (byte.find_first_not_of("0123456789abcdef") != std::string::npos) return {};
    hash[i] = static_cast<unsigned char>(std::stoul(byte, nullptr, 16));
  }
  return hash;
}

constexpr std::string_view trash_name = "trash";

// By the mount, for a folder may be bound to another place of the same file system.
bool is_mount_point(const Location& at) {
  struct statx own {
  }, above{};
  if (::statx(AT_FDCWD, at.path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_MNT_ID, &own) != 0) return false;
  if (::statx(AT_FDCWD, at.parent.c_str(), 0, STATX_BASIC_STATS | STATX_MNT_ID, &above) != 0) return false;
  if ((own.stx_mask & above.stx_mask & STATX_MNT_ID) != 0) return own.stx_mnt_id != above.stx_mnt_id;
  return own.stx_dev_major != above.stx_dev_major || own.stx_dev_minor != above.stx_dev_minor;
}

Result<FileDescriptor> open_own(const std::string& path, bool makes) {
  if (makes && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error("create folder", path, errno);
  auto folder = open_folder(path);
  if (!folder) return folder;
  struct stat status {};
  // Somebody else's folder could be changed under our hands.
  if (::fstat(folder->get(), &status) != 0 || status.st_uid != ::geteuid() || (status.st_mode & 0077) != 0)
    return Error{fmt::format("'{}' is in the way: expected nothing there, or this daemon's own folder with mode 0700", path)};
  return folder;
}

}  // namespace

Result<Staging> Staging::open(const Location& destination, bool makes) {
  Staging staging;
  staging.destination_ = destination;
  if (destination.name.empty()) return Error{"'/' cannot be a destination"};
  const auto beside = (destination.parent == "/" ? "" : destination.parent) + "/." + destination.name + ".gorgone";
  const bool is_folder = destination.exists && S_ISDIR(destination.status.st_mode);
  if (is_folder && is_mount_point(destination)) {
    staging.not_in_one_step_ = fmt::format("'{}' is a mount point", destination.path);
  } else {
    auto folder = open_own(beside, makes);
    if (folder) {
      staging.folder_ = std::move(*folder);
      staging.shown_ = beside;
      return staging;
    }
    if (!is_folder || folder.error().code == "space") return folder.error();
    staging.not_in_one_step_ = folder.error().message;
    staging.lacks_folder_above_ = ::access(destination.parent.c_str(), W_OK) != 0;
  }
  auto folder = open_own(destination.path + "/" + inside_name, makes);
  if (!folder) return folder.error();
  staging.folder_ = std::move(*folder);
  staging.shown_ = destination.path + "/" + inside_name;
  return staging;
}

std::string Staging::path(const std::string& name) const {
  return fmt::format("/proc/self/fd/{}{}{}", folder(), name.empty() ? "" : "/", name);
}

Result<Staging::Lock> Staging::lock() const {
  if (auto held = locked_.lock()) return Lock(held);
  // A description of its own, for a lock belongs to that.
  auto own = std::make_shared<const FileDescriptor>(copy_of(folder()));
  if (!*own) return system_error("open folder", shown_, errno);
  if (::flock(own->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return Error{fmt::format("content is being put at '{}', or back, by somebody else now, try again", destination_.path), "busy"};
  locked_ = own;
  return Lock(own);
}

bool Staging::has(const std::string& name) const { return inode_of(name) != 0; }

std::uint64_t Staging::inode_of(const std::string& name) const {
  struct stat status {};
  return ::fstatat(folder(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

void Staging::make_room(const std::string& name) const {
  remove(name);
  if (!has(name)) return;
  std::string aside;
  for (int number = 1; aside.empty() || has(aside); ++number) aside = fmt::format("{}-{}", trash_name, number);
  ::renameat(folder(), name.c_str(), folder(), aside.c_str());
}

void Staging::empty_trash() const {
  std::vector<std::string> trash;
  (void)for_each_name(folder(), shown_, [&](const std::string& name) -> Result<void> {
    if (name.starts_with(trash_name)) trash.push_back(name);
    return {};
  });
  for (const auto& name : trash) remove(name);
}

std::uint64_t Staging::free_bytes() const {
  struct statvfs status {};
  if (::fstatvfs(folder(), &status) != 0) return ~std::uint64_t{0};
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

Result<void> Staging::keep_manifest(const Hash& hash, std::string_view bytes) const {
  return write_file(path("m-" + to_hex(hash)), bytes, false);
}

std::optional<Manifest> Staging::manifest(const Hash& hash, const ManifestLimits& limits) const {
  const auto bytes = read_file(path("m-" + to_hex(hash)), manifest_bytes_max);
  if (!bytes || sha256(*bytes) != hash) return {};
  auto manifest = decode(*bytes, limits);
  if (!manifest) return {};
  return std::move(*manifest);
}

std::optional<Manifest> Staging::accepted_manifest(const Hash& hash) const {
  constexpr auto no_limit = std::numeric_limits<std::size_t>::max();
  return manifest(hash, {no_limit, no_limit});
}

Result<void> Staging::note_tree(std::uint64_t inode, const Hash& hash) const {
  return write_file(path(fmt::format("of-{}", inode)), to_hex(hash), false);
}

std::optional<Hash> Staging::tree_of(std::uint64_t inode) const {
  const auto text = read_file(path(fmt::format("of-{}", inode)), 64);
  if (!text) return {};
  return read_hex(*text);
}

void Staging::forget_old_trees() const {
  struct stat now {};
  std::set<std::string> notes, manifests;
  if (::lstat(destination_.path.c_str(), &now) == 0) notes.insert(fmt::format("of-{}", now.st_ino));
  if (const auto inode = inode_of("previous"); inode != 0) notes.insert(fmt::format("of-{}", inode));
  for (const auto& note : notes)
    if (const auto hash = tree_of(std::stoull(note.substr(3)))) manifests.insert("m-" + to_hex(*hash));
  std::vector<std::string> old;
  (void)for_each_name(folder(), shown_, [&](const std::string& name) -> Result<void> {
    if ((name.starts_with("of-") && !notes.contains(name)) || (name.starts_with("m-") && !manifests.contains(name))) old.push_back(name);
    return {};
  });
  for (const auto& name : old) ::unlinkat(folder(), name.c_str(), 0);
}

}  // namespace gorgone::content
