#include "core/wire/key_files.hpp"

#include "core/wire/rsa.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace gorgone::wire {
namespace {

constexpr mode_t directory_mode = 0750;
constexpr mode_t private_mode = 0600;
constexpr mode_t public_mode = 0640;

Error failure(const std::string& file, std::string_view what) { return {fmt::format("{}: {}: {}", file, what, std::strerror(errno))}; }

Result<void> make_directories(const std::filesystem::path& directory) {
  if (directory.empty() || directory == directory.root_path()) return {};
  if (::mkdir(directory.c_str(), directory_mode) == 0) return {};
  if (errno == ENOENT && directory != directory.parent_path()) {
    if (const auto above = make_directories(directory.parent_path()); !above) return above.error();
    if (::mkdir(directory.c_str(), directory_mode) == 0) return {};
  }
  const int error = errno;
  std::error_code ignored;
  if (std::filesystem::is_directory(directory, ignored)) return {};
  errno = error == EEXIST ? ENOTDIR : error;
  return failure(directory.string(), "the directory cannot be made");
}

/// A file beside its place, under a name of this process; removed again unless it was moved there.
class FileBeside {
 public:
  explicit FileBeside(const std::string& file) : file_{file}, beside_{fmt::format("{}.new-{}", file, ::getpid())} {}
  FileBeside(const FileBeside&) = delete;
  FileBeside& operator=(const FileBeside&) = delete;
  ~FileBeside() {
    if (made_) ::unlink(beside_.c_str());
  }

  Result<void> write(std::string_view text, mode_t mode) {
    const int descriptor = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, private_mode);
    if (descriptor < 0) return failure(beside_, "cannot be made");
    made_ = true;
    // The process's umask must neither widen nor narrow what others expect of the file.
    bool good = ::fchmod(descriptor, mode) == 0;
    while (good && !text.empty()) {
      const ssize_t written = ::write(descriptor, text.data(), text.size());
      if (written >= 0) text.remove_prefix(static_cast<std::size_t>(written));
      good = written >= 0 || errno == EINTR;
    }
    good = good && ::fsync(descriptor) == 0;
    const int error = errno;
    ::close(descriptor);
    errno = error;
    if (!good) return failure(beside_, "cannot be written");
    return {};
  }

  Result<void> move_into_place() {
    if (::rename(beside_.c_str(), file_.c_str()) != 0) return failure(file_, "cannot be put in place");
    made_ = false;
    return {};
  }

 private:
  std::string file_;
  std::string beside_;
  bool made_ = false;
};

void sync_directory(const std::string& file) {
  const auto directory = std::filesystem::absolute(file).parent_path();
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

Result<void> generate_key_pair(const std::string& private_file, const std::string& public_file, int bits) {
  if (private_file == public_file)
    return Error{fmt::format("{}: named for the private and for the public key, expected two files", public_file)};
  for (const auto& file : {private_file, public_file})
    if (const auto made = make_directories(std::filesystem::path{file}.parent_path()); !made) return made.error();

  const auto key = RsaPrivateKey::generate(bits);
  if (!key) return key.error();
  FileBeside private_half{private_file};
  FileBeside public_half{public_file};
  if (const auto written = private_half.write(key->pem(), private_mode); !written) return written.error();
  if (const auto written = public_half.write(key->public_key().pem(), public_mode); !written) return written.error();
  // The private key first: should the second step fail, the public half can still be made from it.
  if (const auto moved = private_half.move_into_place(); !moved) return moved.error();
  if (const auto moved = public_half.move_into_place(); !moved) return moved.error();
  sync_directory(private_file);
  sync_directory(public_file);
  return {};
}

}  // namespace gorgone::wire
