#include "copy_source.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

namespace gorgone::proxy {
namespace {

namespace fs = std::filesystem;

struct FreeWriter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

/// Links stay links; sockets, pipes and devices are left out.
class FolderSource final : public CopySource {
 public:
  explicit FolderSource(std::string path) : path_(std::move(path)), entry_(archive_entry_new()), writer_(archive_write_new()) {}
  ~FolderSource() override {
    // Closing writes what it still holds, which is nobody's business any more.
    writer_.reset();
    close_file();
  }
  FolderSource(const FolderSource&) = delete;
  FolderSource& operator=(const FolderSource&) = delete;

  Result<void> begin() {
    auto counted = count();
    if (!counted) return counted;
    // GNU's long names are what every deployed receiver can read.
    archive_write_set_format_gnutar(writer_.get());
    archive_write_add_filter_gzip(writer_.get());
    archive_write_set_filter_option(writer_.get(), "gzip", "compression-level", "1");
    archive_write_set_bytes_per_block(writer_.get(), 0);
    if (archive_write_open2(writer_.get(), this, nullptr, &FolderSource::take, nullptr, nullptr) != ARCHIVE_OK) return archive_error();
    std::error_code error;
    walk_ = fs::recursive_directory_iterator(path_, error);
    if (error) return source_error("read folder", path_, error.value());
    return {};
  }

  bool is_folder() const override { return true; }
  std::uint64_t total() const override { return total_; }
  std::uint64_t files() const override { return files_; }
  std::uint64_t done() const override { return done_; }

  Result<std::string> read(std::size_t bytes) override {
    while (out_.size() < bytes && !is_closed_) {
      auto gone_on = step();
      if (!gone_on) return gone_on.error();
    }
    auto piece = out_.substr(0, bytes);
    out_.erase(0, piece.size());
    return piece;
  }

 private:
  static la_ssize_t take(archive*, void* self, const void* bytes, std::size_t size) {
    static_cast<FolderSource*>(self)->out_.append(static_cast<const char*>(bytes), size);
    return static_cast<la_ssize_t>(size);
  }

  Result<void> count() {
    std::error_code error;
    for (fs::recursive_directory_iterator it(path_, error), end; !error && it != end; it.increment(error)) {
      struct stat status {};
      if (::lstat(it->path().c_str(), &status) != 0) continue;
      ++files_;
      if (S_ISREG(status.st_mode)) total_ += static_cast<std::uint64_t>(status.st_size);
    }
    if (error) return source_error("read folder", path_, error.value());
    return {};
  }

  Result<void> step() {
    if (file_ >= 0) return write_piece();
    if (walk_ == fs::recursive_directory_iterator()) {
      is_closed_ = true;
      if (archive_write_close(writer_.get()) != ARCHIVE_OK) return archive_error();
      return {};
    }
    const auto path = walk_->path();
    auto begun = begin_entry(path);
    if (!begun) return begun;
    std::error_code error;
    walk_.increment(error);
    if (error) return source_error("read a folder below", path_, error.value());
    return {};
  }

  Result<void> begin_entry(const fs::path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return gone(path);
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode) && !S_ISLNK(status.st_mode)) return {};
    if (S_ISREG(status.st_mode)) {
      file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (file_ < 0 && errno == ENOENT) return gone(path);
      if (file_ < 0) return source_error("open", path, errno);
      ::fstat(file_, &status);
    }
    auto* entry = archive_entry_clear(entry_.get());
    archive_entry_copy_stat(entry, &status);
    archive_entry_copy_pathname(entry, path.lexically_relative(path_).c_str());
    if (S_ISLNK(status.st_mode)) {
      std::error_code error;
      const auto target = fs::read_symlink(path, error);
      if (error) return gone(path);
      archive_entry_copy_symlink(entry, target.c_str());
      archive_entry_set_size(entry, 0);
    }
    if (archive_write_header(writer_.get(), entry) < ARCHIVE_WARN) return archive_error();
    file_path_ = path;
    left_ = static_cast<std::uint64_t>(status.st_size);
    if (file_ >= 0 && left_ == 0) close_file();
    return {};
  }

  Result<void> write_piece() {
    std::array<char, 65536> buffer;
    const auto count = ::read(file_, buffer.data(), std::min<std::uint64_t>(buffer.size(), left_));
    if (count < 0 && errno == EINTR) return {};
    if (count < 0) return source_error("read", file_path_, errno);
    // The header has told its size.
    if (count == 0) return Error{fmt::format("'{}' was written while it was read", file_path_), "changed"};
    if (archive_write_data(writer_.get(), buffer.data(), static_cast<std::size_t>(count)) != count) return archive_error();
    done_ += static_cast<std::uint64_t>(count);
    left_ -= static_cast<std::uint64_t>(count);
    if (left_ == 0) close_file();
    return {};
  }

  void close_file() {
    if (file_ >= 0) ::close(file_);
    file_ = -1;
  }

  Error gone(const fs::path& path) const {
    return Error{fmt::format("'{}' went away while its folder was read", path.string()), "changed"};
  }
  Error archive_error() const {
    const auto* why = archive_error_string(writer_.get());
    return Error{fmt::format("cannot make an archive of '{}': {}", path_, why ? why : "no reason told")};
  }

  std::string path_, out_, file_path_;
  std::unique_ptr<archive_entry, FreeEntry> entry_;
  std::unique_ptr<archive, FreeWriter> writer_;
  fs::recursive_directory_iterator walk_;
  int file_ = -1;
  std::uint64_t left_ = 0, total_ = 0, files_ = 0, done_ = 0;
  bool is_closed_ = false;
};

}  // namespace

Result<std::unique_ptr<CopySource>> open_folder(const std::string& path) {
  auto source = std::make_unique<FolderSource>(path);
  auto begun = source->begin();
  if (!begun) return begun.error();
  return std::unique_ptr<CopySource>(std::move(source));
}

}  // namespace gorgone::proxy
