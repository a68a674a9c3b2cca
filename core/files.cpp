#include <gorgone/files.hpp>
#include <gorgone/log.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <filesystem>
#include <memory>

namespace gorgone {
namespace {

constexpr std::size_t lines_max = 5;
constexpr std::size_t account_buffer = 16384, group_buffer = std::size_t{256} << 10;  // groups may have many members

template <class Id>
std::optional<Id> number_in(const std::string& text) {
  Id id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return id;
}

std::optional<uid_t> user_id(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, account_buffer> buffer;
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found) return entry.pw_uid;
  return number_in<uid_t>(name);
}

std::optional<gid_t> group_id(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(group_buffer);
  if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found) return entry.gr_gid;
  return number_in<gid_t>(name);
}

std::string own_name() {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, account_buffer> buffer;
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found) return entry.pw_name;
  return std::to_string(::geteuid());
}

// By the capability, for a service may have it without being root, and a container's root may lack it.
bool may_give_away() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return ::geteuid() == 0;
  return (data[0].effective & (1U << CAP_CHOWN)) != 0;
}

bool is_own_group(gid_t gid) {
  if (gid == ::getegid()) return true;
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(count, 0)));
  if (::getgroups(count, groups.data()) < 0) return false;
  return std::find(groups.begin(), groups.end(), gid) != groups.end();
}

Error failure(const std::string& path, const char* what, int error) {
  return Error{fmt::format("{}: {}: {}", path, what, std::strerror(error))};
}

}  // namespace

NewFile::NewFile(std::string path) : path_(std::move(path)), beside_(fmt::format("{}.new-{}", path_, ::getpid())) {}

NewFile::~NewFile() {
  if (is_made_) ::unlink(beside_.c_str());
}

Result<void> NewFile::write(std::string_view text, mode_t mode) {
  // Of a process that was killed and had our number.
  ::unlink(beside_.c_str());
  const FileDescriptor file(::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!file) return failure(beside_, "cannot be made", errno);
  is_made_ = true;
  if (::fchmod(file.get(), mode) != 0) return failure(path_, "its mode cannot be set", errno);
  if (const int error = write_all(file.get(), text); error != 0) return failure(path_, "cannot be written", error);
  if (::fsync(file.get()) != 0) return failure(path_, "cannot be written", errno);
  return {};
}

Result<void> NewFile::put(Over over) {
  // link() refuses where the name is taken, rename() replaces.
  const bool is_linked = over == Over::nothing;
  const int outcome = is_linked ? ::link(beside_.c_str(), path_.c_str()) : ::rename(beside_.c_str(), path_.c_str());
  if (outcome != 0) return failure(path_, "cannot be put in place", errno);
  if (is_linked) ::unlink(beside_.c_str());
  is_made_ = false;
  return {};
}

Result<void> sync_folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const FileDescriptor file(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Not every file system can.
  if (!file || (::fsync(file.get()) != 0 && errno != EINVAL))
    return failure(folder.empty() ? "." : folder.string(), "cannot be made durable", errno);
  return {};
}

int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

void remove_tree(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
  {
    // It may be closed to its owner himself.
    const FileDescriptor at(::openat(folder, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!at) return;
    (void)::chmod(fmt::format("/proc/self/fd/{}", at.get()).c_str(), 0700);
    const int own = ::openat(at.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> list(own < 0 ? nullptr : ::fdopendir(own), &::closedir);
    if (!list) {
      if (own >= 0) ::close(own);
      return;
    }
    // All of them first: removing changes the list.
    std::vector<std::string> names;
    while (const auto* entry = ::readdir(list.get()))
      if (const std::string_view child = entry->d_name; child != "." && child != "..") names.emplace_back(child);
    for (const auto& child : names) remove_tree(::dirfd(list.get()), child);
  }
  ::unlinkat(folder, name.c_str(), AT_REMOVEDIR);
}

void Notes::add(std::string text) {
  const bool is_known = std::find(lines_.begin(), lines_.end(), text) != lines_.end();
  if (!is_known && lines_.size() < lines_max) lines_.push_back(std::move(text));
}

void Notes::add(const Notes& others) {
  for (const auto& text : others.texts()) add(text);
}

void Notes::refused(const char* what, const std::string& path, int error) {
  const auto same =
      std::find_if(refusals_.begin(), refusals_.end(), [&](const Refusal& one) { return one.what == what && one.error == error; });
  if (same != refusals_.end())
    ++same->others;
  else if (refusals_.size() < lines_max)
    refusals_.push_back({what, path, error, 0});
}

void Notes::clear() {
  lines_.clear();
  refusals_.clear();
}

std::vector<std::string> Notes::texts() const {
  auto texts = lines_;
  for (const auto& one : refusals_)
    texts.push_back(fmt::format("cannot {} '{}'{}: {}", one.what, printable(one.path, PATH_MAX),
                                one.others == 0 ? "" : fmt::format(" and {} others", one.others), std::strerror(one.error)));
  return texts;
}

Owners find_owners(const std::string& owner, const std::string& group, Notes& notes) {
  Owners owners;
  if (!owner.empty()) {
    owners.uid = user_id(owner);
    if (!owners.uid) notes.add(fmt::format("owner '{}' is not known here", printable(owner)));
  }
  if (!group.empty()) {
    owners.gid = group_id(group);
    if (!owners.gid) notes.add(fmt::format("group '{}' is not known here", printable(group)));
  }
  if ((!owners.uid && !owners.gid) || may_give_away()) return owners;
  if (owners.uid && *owners.uid != ::geteuid()) {
    notes.add(fmt::format("owner '{}' cannot be set: this daemon runs as '{}', who may not give files away (that takes root or CAP_CHOWN)",
                          printable(owner), printable(own_name())));
    owners.uid.reset();
  }
  if (owners.gid && !is_own_group(*owners.gid)) {
    notes.add(fmt::format("group '{}' cannot be set: this daemon runs as '{}', who is not in that group", printable(group),
                          printable(own_name())));
    owners.gid.reset();
  }
  return owners;
}

}  // namespace gorgone
