#include "files.hpp"

#include <gorgone/message.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

namespace gorgone::action {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

std::string to_hex(const unsigned char* bytes, std::size_t count) {
  std::string hex;
  for (std::size_t i = 0; i < count; ++i) {
    hex += hex_digits[bytes[i] >> 4];
    hex += hex_digits[bytes[i] & 15];
  }
  return hex;
}

bool is_fit_for_a_name(const std::string& token) {
  auto is_fit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-'; };
  return !token.empty() && token.size() <= 200 && std::all_of(token.begin(), token.end(), is_fit);
}

constexpr std::string_view try_mark = "-try-";
constexpr std::size_t try_digits = 8;

bool is_hex(std::string_view text) { return text.find_first_not_of(hex_digits) == std::string_view::npos; }

Result<void> fill(int fd, const std::string& source, const std::string& name) {
  const FileDescriptor in(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in) return system_error("open", source, errno);
  return copy_content(in.get(), fd, source, name);
}

constexpr std::string_view beside_begin = ".gorgone-copying-";

/// A new file, locked while it is open, by which others know that it is no leftover; its name goes to `name`.
FileDescriptor make_beside(const std::string& folder, std::string& name) {
  for (;;) {
    name = fmt::format("{}/{}{}", folder, beside_begin, new_token().substr(0, 16));
    FileDescriptor made(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!made) return made;
    struct stat status {};
    // Another daemon may have taken it for one before it was locked. A file system that knows no locks keeps nobody from copying.
    const bool is_taken = ::flock(made.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!is_taken && (::fstat(made.get(), &status) != 0 || status.st_nlink > 0)) return made;
  }
}

void sync_folder(const std::string& path) {
  FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(folder.get());
}

}  // namespace

std::string partial_path(const std::string& cache_dir, const std::string& token) {
  if (is_fit_for_a_name(token)) return cache_dir + "/copy_" + token;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_Digest(token.data(), token.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return cache_dir + "/copy_" + to_hex(digest.data(), size);
}

std::string tries_prefix(const std::string& token) {
  if (token.size() <= try_mark.size() + try_digits) return {};
  const auto at = token.size() - try_digits - try_mark.size();
  const std::string_view text = token;
  if (text.substr(at, try_mark.size()) != try_mark || !is_hex(text.substr(token.size() - try_digits))) return {};
  return token.substr(0, at + try_mark.size());
}

void remove_other_tries(const std::string& partial, const std::string& prefix) {
  const std::filesystem::path own(partial);
  const auto begin = "copy_" + prefix;
  std::error_code error, ignored;
  for (std::filesystem::directory_iterator it(own.parent_path(), error), end; !error && it != end; it.increment(error)) {
    const auto name = it->path().filename().string();
    const bool is_other = name.starts_with(begin) && name.size() == begin.size() + try_digits && is_hex(name.substr(begin.size()));
    if (is_other && it->path() != own && it->is_regular_file(ignored) && !it->is_symlink(ignored)) {
      std::filesystem::remove(it->path(), ignored);
    }
  }
}

Result<void> check_room(const std::string& path, std::uint64_t bytes) {
  struct statvfs room {};
  std::filesystem::path place(path);
  while (::statvfs(place.c_str(), &room) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return {};
    const auto parent = place.parent_path();
    if (parent == place || parent.empty()) return {};
    place = parent;
  }
  if (room.f_blocks == 0) return {};  // it does not say
  const auto left = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  if (left >= bytes) return {};
  return Error{fmt::format("no room for '{}': it needs {} bytes, and {} are free on that disk", path, bytes, left)};
}

Result<void> copy_content(int in, int out, const std::string& source, const std::string& name) {
  std::vector<char> buffer(256 * 1024);
  for (;;) {
    const auto count = ::read(in, buffer.data(), buffer.size());
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", source, errno);
    if (const auto error = write_all(out, {buffer.data(), static_cast<std::size_t>(count)}); error != 0)
      return system_error("write a copy of", source, error);
  }
  if (::fsync(out) != 0) return system_error("sync", name, errno);
  return {};
}

Result<void> install_file(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes,
                          const InPlace& in_place) {
  // Where a link stands, the file that it leads to is replaced, not the link.
  std::error_code no_such;
  auto resolved = std::filesystem::canonical(destination, no_such);
  auto target = no_such ? destination : resolved.string();
  struct stat present {};
  bool is_there = ::stat(target.c_str(), &present) == 0;
  if (is_there && !S_ISREG(present.st_mode))
    return Error{fmt::format("'{}' is no regular file, expected a file's path as destination", destination)};

  auto folder = std::filesystem::path(target).parent_path().string();
  if (const FileDescriptor open(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); open)
    remove_leftovers(open.get(), beside_begin);
  std::string name;
  FileDescriptor out = make_beside(folder, name);
  if (!out && is_there && (errno == EACCES || errno == EPERM || errno == EROFS)) {
    if (in_place.is_allowed) return overwrite(source, target, ids, notes, in_place.keep_in);
    return Error{
        fmt::format("this daemon may not write to the folder '{}' ({}), and '{}' is not written over in place "
                    "(modules.action.overwrite_in_place): let its user write to that folder, or choose another destination",
                    folder, std::strerror(errno), target)};
  }
  if (!out) return system_error("create a file in", folder, errno);

  AttributeIds applied = ids;
  if (is_there && !applied.uid) applied.uid = present.st_uid;
  if (is_there && !applied.gid) applied.gid = present.st_gid;
  if (!applied.mode) applied.mode = is_there ? present.st_mode & 0777 : 0644;
  // On the same file system the partial file itself takes the place; what is kept open is written, if at all, to the other.
  Result<void> filled;
  FileDescriptor moved(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (moved) ::flock(moved.get(), LOCK_EX | LOCK_NB);
  if (moved && ::rename(source.c_str(), name.c_str()) == 0) {
    apply(moved.get(), destination, applied, notes);
    if (::fsync(moved.get()) != 0) filled = system_error("sync", destination, errno);
  } else {
    apply(out.get(), destination, applied, notes);
    filled = fill(out.get(), source, destination);
  }
  if (filled && ::rename(name.c_str(), target.c_str()) != 0) filled = system_error("rename a file to", destination, errno);
  if (!filled) {
    ::unlink(name.c_str());
    return filled;
  }
  sync_folder(folder);
  return {};
}

void remove_leftovers(int folder, std::string_view begin) {
  std::vector<std::string> left;
  std::error_code error;
  const auto path = fmt::format("/proc/self/fd/{}", folder);
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (auto name = it->path().filename().string(); name.starts_with(begin)) left.push_back(std::move(name));
  for (const auto& name : left) {
    const FileDescriptor one(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (one && ::flock(one.get(), LOCK_EX | LOCK_NB) == 0) remove_tree(folder, name);
  }
}

Result<void> make_folder(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return Error{fmt::format("'{}' is no folder", path)};
  }
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return system_error("create folder", path, errno);
  return {};
}

void remove_stale(const std::string& cache_dir, std::chrono::seconds age) {
  auto oldest = std::filesystem::file_time_type::clock::now() - age;
  std::error_code error;
  for (std::filesystem::directory_iterator it(cache_dir, error), end; !error && it != end; it.increment(error)) {
    auto name = it->path().filename().string();
    if (!name.starts_with("copy_")) continue;
    auto is_ours = !tries_prefix(name).empty() || (name.size() == 5 + 128 && is_hex(std::string_view(name).substr(5)));
    std::error_code ignored;
    if (is_ours && it->is_regular_file(ignored) && !it->is_symlink(ignored) && it->last_write_time(ignored) < oldest) {
      std::filesystem::remove(it->path(), ignored);
    }
  }
}

}  // namespace gorgone::action
