#include "overwriting.hpp"

#include "files.hpp"

#include <gorgone/message.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>

namespace gorgone::action {
namespace {

constexpr std::string_view kept_begin = "overwritten-", lost_end = ".kept", unfinished_begin = ".gorgone-keeping-";
constexpr std::uint64_t left_for_the_database = std::uint64_t{16} << 20;
constexpr std::size_t buffer_size = std::size_t{1} << 20;
// What was changed so much later than it said last that it writes was changed by somebody else.
constexpr time_t written_after_s = 10;

/// Gets the room for all of it before anything is changed; what is in the file, and its length, stay as they are.
Result<void> reserve(int fd, const std::string& path, off_t bytes) {
  if (bytes == 0) return {};
  int error = 0;
  do error = ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes) == 0 ? 0 : errno;
  while (error == EINTR);
  if (error == 0) return {};
  struct stat status {};
  // What it has got of it is given back.
  if (::fstat(fd, &status) == 0) (void)::ftruncate(fd, status.st_size);
  // Not every file system can: there it has to do to ask.
  const bool is_unknown = error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
  if (!is_unknown) return system_error("get room for", path, error);
  return check_room(path, static_cast<std::uint64_t>(std::max<off_t>(bytes - status.st_size, 0)));
}

/// The content of an open file from where it stands becomes all that another one holds. The time of the last change of `clock`, an open
/// file as well, says when this went on.
Result<void> replace_content(int in, int out, int clock, const std::string& source, const std::string& destination) {
  const auto failed = [&](int error) { return system_error("write a copy of", source, error); };
  if (::lseek(out, 0, SEEK_SET) != 0) return system_error("write", destination, errno);
  std::string buffer(buffer_size, '\0');
  off_t bytes = 0;
  for (;;) {
    (void)::futimens(clock, nullptr);
    const auto count = ::read(in, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", source, errno);
    if (count == 0) break;
    if (const auto error = write_all(out, std::string_view(buffer.data(), static_cast<std::size_t>(count))); error != 0)
      return failed(error);
    bytes += count;
  }
  if (::ftruncate(out, bytes) != 0 || ::fsync(out) != 0) return system_error("write", destination, errno);
  return {};
}

/// As it was told, without a link anywhere on its way: nobody leads us elsewhere meanwhile.
FileDescriptor open_straight(const std::string& path) {
  open_how how{};
  how.flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return FileDescriptor(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

class Kept {
 public:
  /// Of the open file at `path`.
  static Result<Kept> make(const std::string& folder, int file, const std::string& path) {
    Kept kept;
    kept.path_ = path;
    const auto number = new_token().substr(0, 16);
    kept.name_ = fmt::format("{}/{}{}", folder, kept_begin, number);
    const auto unfinished = fmt::format("{}/{}{}", folder, unfinished_begin, number);
    kept.file_ = FileDescriptor(::open(unfinished.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!kept.file_) return system_error("create a file in", folder, errno);
    ::flock(kept.file_.get(), LOCK_EX | LOCK_NB);
    auto filled = kept.fill(file, unfinished);
    if (filled && ::rename(unfinished.c_str(), kept.name_.c_str()) != 0) filled = system_error("rename a file to", kept.name_, errno);
    if (filled) filled = sync_folder_of(kept.name_);
    if (filled) return kept;
    ::unlink(unfinished.c_str());
    ::unlink(kept.name_.c_str());
    return filled.error();
  }

  /// What was found. The Error has code "busy" where somebody works with it, and "forgotten" where it is of no use any more.
  static Result<Kept> found(const std::string& name) {
    Kept kept;
    kept.name_ = name;
    kept.file_ = FileDescriptor(::open(name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat own {};
    if (!kept.file_ || ::fstat(kept.file_.get(), &own) != 0) return system_error("read", name, errno);
    // A file system without locks has no other daemon on it.
    if (::flock(kept.file_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return Error{"", "busy"};
    if (!S_ISREG(own.st_mode) || own.st_uid != ::geteuid() || own.st_nlink != 1) return Error{"'" + name + "' is not this daemon's own"};
    if (own.st_size == 0) return Error{"", "forgotten"};
    std::string begin(PATH_MAX + 64, '\0');
    const auto count = ::pread(kept.file_.get(), begin.data(), begin.size(), 0);
    begin.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    std::size_t length = 0;
    int used = 0;
    const bool is_read = std::sscanf(begin.c_str(), "%lu %zu%n", &kept.inode_, &length, &used) == 2;
    const auto path = static_cast<std::size_t>(used) + 1;
    if (!is_read || begin.size() < path + length || begin[path - 1] != '\n')
      return Error{"'" + name + "' does not say of which file it is"};
    kept.path_ = begin.substr(path, length);
    kept.begin_ = static_cast<off_t>(path + length);
    return kept;
  }

  const std::string& path() const { return path_; }
  int file() const { return file_.get(); }

  /// To the open file that it is of.
  Result<void> put_back(int file) const {
    struct stat there {};
    if (::fstat(file, &there) != 0 || !S_ISREG(there.st_mode) || there.st_ino != inode_) return Error{"it is another file now"};
    if (::lseek(file_.get(), begin_, SEEK_SET) != begin_) return system_error("read", name_, errno);
    return replace_content(file_.get(), file, file_.get(), name_, path_);
  }

  /// Whether the open file was changed when no daemon wrote to it any more.
  bool is_changed_since(int file) const {
    struct stat own {
    }, there{};
    return ::fstat(file, &there) == 0 && ::fstat(file_.get(), &own) == 0 && there.st_mtim.tv_sec > own.st_mtim.tv_sec + written_after_s;
  }

  /// When this has come back, a start after a power cut does not find it either. What cannot be removed is emptied.
  Result<void> forget() const {
    if (::unlink(name_.c_str()) == 0) return sync_folder_of(name_);
    const auto error = errno;
    if (::ftruncate(file_.get(), 0) == 0 && ::fsync(file_.get()) == 0) return {};
    return system_error("remove", name_, error);
  }
  /// It is not put back any more, for nobody knows what comes to the file meanwhile; where it is now.
  std::string give_up() const {
    auto lost = name_ + std::string(lost_end);
    return ::rename(name_.c_str(), lost.c_str()) == 0 ? lost : name_;
  }

 private:
  Result<void> fill(int file, const std::string& own) {
    struct stat status {};
    if (::fstat(file, &status) != 0) return system_error("look at", path_, errno);
    if (auto room = check_room(own, static_cast<std::uint64_t>(status.st_size) + left_for_the_database); !room) return room;
    inode_ = status.st_ino;
    const auto begin = fmt::format("{} {}\n{}", inode_, path_.size(), path_);
    begin_ = static_cast<off_t>(begin.size());
    if (const auto error = write_all(file_.get(), begin); error != 0) return system_error("write", name_, error);
    return copy_content(file, file_.get(), path_, name_);
  }

  std::string path_, name_;
  FileDescriptor file_;
  unsigned long inode_ = 0;
  off_t begin_ = 0;  // of the content
};

}  // namespace

Result<void> overwrite(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes,
                       const std::string& keep_in) {
  const FileDescriptor in(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat wanted {};
  if (!in || ::fstat(in.get(), &wanted) != 0) return system_error("open", source, errno);
  const auto not_kept = [&](const std::string& why) {
    return Error{fmt::format("'{}' can only be written over in place, and what it holds cannot be kept meanwhile: {}", destination, why)};
  };
  const FileDescriptor out(::open(destination.c_str(), O_RDWR | O_CLOEXEC));
  if (!out && errno == EACCES && ::access(destination.c_str(), W_OK) == 0) return not_kept("this daemon may not read it");
  if (!out) return system_error("write", destination, errno);
  auto kept = Kept::make(keep_in, out.get(), destination);
  if (!kept) return not_kept(kept.error().message);
  auto replaced = reserve(out.get(), destination, wanted.st_size);
  const bool is_begun = replaced.has_value();
  if (is_begun) replaced = replace_content(in.get(), out.get(), kept->file(), source, destination);
  if (!replaced && is_begun) {
    const auto restored = kept->put_back(out.get());
    if (!restored)
      return Error{fmt::format("{}; it is half written, and its old content, which could not be put back ({}), is in '{}'",
                               replaced.error().message, restored.error().message, kept->give_up())};
    replaced = Error{replaced.error().message + "; its old content was put back"};
  }
  const auto forgotten = kept->forget();
  if (!forgotten && replaced)
    return Error{fmt::format("'{}' has its new content, and at the next start of the daemon its old one: {}", destination,
                             forgotten.error().message)};
  if (!forgotten) return Error{replaced.error().message + "; " + forgotten.error().message};
  if (!replaced) return replaced;
  apply(out.get(), destination, ids, notes);
  notes.add(fmt::format("'{}' was written over in place, where a program may have read half of it: this daemon may not write to its folder",
                        destination));
  return {};
}

std::vector<Recovery> restore_overwritten(const std::string& keep_in) {
  if (const FileDescriptor folder(::open(keep_in.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); folder)
    remove_leftovers(folder.get(), unfinished_begin);
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(keep_in, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().starts_with(kept_begin)) names.push_back(it->path().string());
  std::vector<Recovery> recoveries;
  for (const auto& name : names) {
    if (name.ends_with(lost_end)) continue;
    const auto kept = Kept::found(name);
    if (!kept) {
      if (kept.error().code == "forgotten") ::unlink(name.c_str());
      if (kept.error().code.empty())
        recoveries.push_back({false,
                              "a file that was being written over when the daemon was ended may be half written, and its old content is "
                              "not put back: " +
                                  kept.error().message});
      continue;
    }
    const FileDescriptor file = open_straight(kept->path());
    Result<void> restored;
    if (!file)
      restored = system_error("write", kept->path(), errno);
    else if (kept->is_changed_since(file.get()))
      restored = Error{"somebody has changed it since"};
    else
      restored = kept->put_back(file.get());
    if (restored) restored = kept->forget();
    if (restored)
      recoveries.push_back(
          {true, fmt::format("'{}' was being written over when the daemon was ended: its old content was put back", kept->path())});
    else
      recoveries.push_back({false, fmt::format("'{}' was being written over when the daemon was ended, and may be half written: {}; its "
                                               "old content is in '{}'",
                                               kept->path(), restored.error().message, kept->give_up())});
  }
  return recoveries;
}

}  // namespace gorgone::action
