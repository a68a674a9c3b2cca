#include "folder.hpp"

#include <gorgone/log.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace gorgone::content {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr std::size_t buffer_size = std::size_t{256} << 10;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

Result<void> copy_by_reading(int from, int to, const std::string& shown) {
  const auto buffer = std::make_unique<std::array<char, buffer_size>>();
  for (;;) {
    const auto count = ::read(from, buffer->data(), buffer->size());
    if (count == 0) return {};
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", shown, errno);
    if (const int error = write_all(to, std::string_view(buffer->data(), static_cast<std::size_t>(count))); error != 0)
      return system_error("write a copy of", shown, error);
  }
}

}  // namespace

Error system_error(const char* what, const std::string& path, int error) {
  const bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  const bool is_missing = error == ENOENT || error == ENOTDIR;
  return Error{fmt::format("cannot {} '{}': {}", what, printable(path, PATH_MAX), std::strerror(error)), is_full      ? "space"
                                                                                                         : is_missing ? "missing"
                                                                                                                      : ""};
}

Result<FileDescriptor> open_folder(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), folder_flags));
  if (!fd) return system_error("open folder", path, errno);
  return fd;
}

FileDescriptor copy_of(int folder) { return FileDescriptor(::openat(folder, ".", folder_flags)); }

Result<Location> locate(const std::string& path) {
  auto trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  Location at;
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(trimmed.c_str(), nullptr), &std::free);
  if (real) {
    at.path = real.get();
  } else {
    // A link to nothing is no place for content.
    struct stat link {};
    if (errno != ENOENT || ::lstat(trimmed.c_str(), &link) == 0) return system_error("reach", path, errno == 0 ? ENOENT : errno);
    const auto parent = parent_of(trimmed);
    real.reset(::realpath(parent.c_str(), nullptr));
    if (!real) return system_error("reach the folder of", path, errno);
    at.path = std::string(real.get()) == "/" ? trimmed.substr(trimmed.rfind('/')) : real.get() + trimmed.substr(trimmed.rfind('/'));
  }
  at.parent = parent_of(at.path);
  at.name = at.path.substr(at.path.rfind('/') + 1);
  at.exists = ::lstat(at.path.c_str(), &at.status) == 0;
  return at;
}

Result<int> Walker::folder(std::string_view path) {
  if (path.empty()) {
    way_.clear();
    return root_.get();
  }
  auto is_on_the_way = [&](const std::string& step) { return path == step || (path.starts_with(step) && path[step.size()] == '/'); };
  while (!way_.empty() && !is_on_the_way(way_.back().path)) way_.pop_back();
  while (way_.empty() || way_.back().path != path) {
    const auto begin = way_.empty() ? 0 : way_.back().path.size() + 1;
    const auto end = std::min(path.find('/', begin), path.size());
    const std::string name(path.substr(begin, end - begin));
    FileDescriptor next(::openat(way_.empty() ? root_.get() : way_.back().fd.get(), name.c_str(), folder_flags));
    if (!next) return system_error("open folder", shown(path.substr(0, end)), errno);
    way_.push_back({std::string(path.substr(0, end)), std::move(next)});
  }
  return way_.back().fd.get();
}

Result<Walker::Place> Walker::place(std::string_view path) {
  const auto slash = path.rfind('/');
  const auto above = folder(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash));
  if (!above) return above.error();
  return Place{*above, std::string(path.substr(slash == std::string_view::npos ? 0 : slash + 1))};
}

Result<void> for_each_name(int folder, const std::string& shown, const std::function<Result<void>(const std::string&)>& each) {
  const int own = ::openat(folder, ".", folder_flags);
  std::unique_ptr<DIR, int (*)(DIR*)> list(own < 0 ? nullptr : ::fdopendir(own), &::closedir);
  if (!list) {
    const auto error = system_error("list folder", shown, errno);
    if (own >= 0) ::close(own);
    return error;
  }
  for (;;) {
    errno = 0;
    const auto* entry = ::readdir(list.get());
    if (!entry) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (auto outcome = each(name); !outcome) return outcome;
  }
  if (errno != 0) return system_error("list folder", shown, errno);
  return {};
}

Result<void> write_file(const std::string& path, std::string_view bytes, bool is_synced) {
  const auto beside = path + ".new";
  FileDescriptor out(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out) return system_error("write", beside, errno);
  int error = write_all(out.get(), bytes);
  if (error == 0 && is_synced && ::fsync(out.get()) != 0) error = errno;
  if (error == 0 && ::rename(beside.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return {};
  ::unlink(beside.c_str());
  return system_error("write", path, error);
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  FileDescriptor in(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in) return system_error("open", path, errno);
  struct stat status {};
  if (::fstat(in.get(), &status) != 0 || !S_ISREG(status.st_mode)) return Error{fmt::format("'{}' is no regular file", path)};
  if (static_cast<std::size_t>(status.st_size) > limit) return Error{fmt::format("'{}' is longer than {} bytes", path, limit)};
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const auto count = ::pread(in.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", path, errno);
    if (count == 0) break;
    have += static_cast<std::size_t>(count);
  }
  bytes.resize(have);
  return bytes;
}

Result<void> copy_content(int from, int to, const std::string& shown) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  for (;;) {
    const auto count = ::copy_file_range(from, nullptr, to, nullptr, std::size_t{1} << 30, 0);
    if (count == 0) return {};
    if (count > 0 || errno == EINTR) continue;
    // Not between these two file systems, or not on this one.
    if (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM) break;
    return system_error("copy", shown, errno);
  }
  return copy_by_reading(from, to, shown);
}

}  // namespace gorgone::content
