#include "copy_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gorgone::proxy {
namespace {

class FileSource final : public CopySource {
 public:
  FileSource(std::string path, int fd, const struct stat& status) : path_(std::move(path)), fd_(fd), status_(status) {}
  ~FileSource() override { ::close(fd_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  bool is_folder() const override { return false; }
  std::uint64_t total() const override { return static_cast<std::uint64_t>(status_.st_size); }
  std::uint64_t files() const override { return 1; }
  std::uint64_t done() const override { return done_; }

  Result<std::string> read(std::size_t bytes) override {
    std::string piece(std::min<std::uint64_t>(bytes, total() - done_), '\0');
    for (std::size_t filled = 0; filled < piece.size();) {
      const auto count = ::read(fd_, piece.data() + filled, piece.size() - filled);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return source_error("read", path_, errno);
      if (count == 0) return changed();
      filled += static_cast<std::size_t>(count);
    }
    done_ += piece.size();
    if (done_ < total()) return piece;
    struct stat now {};
    const bool is_same = ::fstat(fd_, &now) == 0 && now.st_size == status_.st_size && now.st_mtim.tv_sec == status_.st_mtim.tv_sec &&
                         now.st_mtim.tv_nsec == status_.st_mtim.tv_nsec;
    if (!is_same) return changed();
    return piece;
  }

 private:
  Error changed() const { return Error{fmt::format("'{}' was written while it was read", path_), "changed"}; }

  std::string path_;
  int fd_;
  struct stat status_;
  std::uint64_t done_ = 0;
};

}  // namespace

Error source_error(const char* what, const std::string& path, int error) {
  return Error{fmt::format("cannot {} '{}': {}", what, path, std::strerror(error))};
}

Result<bool> is_folder(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return source_error("read source", path, errno);
  const bool folder = S_ISDIR(status.st_mode);
  if (!folder && !S_ISREG(status.st_mode)) return Error{fmt::format("source '{}' is neither a file nor a folder", path)};
  if (::access(path.c_str(), folder ? R_OK | X_OK : R_OK) != 0) return source_error("read source", path, errno);
  return folder;
}

Result<std::unique_ptr<CopySource>> CopySource::open(const std::string& path) {
  const auto folder = proxy::is_folder(path);
  if (!folder) return folder.error();
  if (*folder) return open_folder(path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return source_error("open source", path, errno);
  struct stat status {};
  ::fstat(fd, &status);
  return std::unique_ptr<CopySource>(std::make_unique<FileSource>(path, fd, status));
}

}  // namespace gorgone::proxy
