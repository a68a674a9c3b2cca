#include "partial_file.hpp"

#include "attributes.hpp"
#include "files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <vector>

namespace gorgone::action {
namespace {

struct FreeDecoder {
  void operator()(EVP_ENCODE_CTX* context) const { EVP_ENCODE_CTX_free(context); }
};

/// Line breaks pass; anything else that is no base64 does not.
Result<std::string> decode(std::string_view base64) {
  std::string bytes(base64.size() / 4 * 3 + 3, '\0');
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  std::unique_ptr<EVP_ENCODE_CTX, FreeDecoder> context(EVP_ENCODE_CTX_new());
  EVP_DecodeInit(context.get());
  int count = 0, rest = 0;
  const auto* in = reinterpret_cast<const unsigned char*>(base64.data());
  if (EVP_DecodeUpdate(context.get(), out, &count, in, static_cast<int>(base64.size())) < 0 ||
      EVP_DecodeFinal(context.get(), out + count, &rest) < 0) {
    return Error{"a chunk's data is no base64"};
  }
  bytes.resize(static_cast<std::size_t>(count + rest));
  return bytes;
}

}  // namespace

/// Of the first `bytes` of the file.
struct PartialFile::Digest {
  Digest() : context(EVP_MD_CTX_new()) { restart(); }
  ~Digest() { EVP_MD_CTX_free(context); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void restart() {
    bytes = 0;
    EVP_DigestInit_ex(context, EVP_md5(), nullptr);
  }
  void add(std::string_view piece) {
    EVP_DigestUpdate(context, piece.data(), piece.size());
    bytes += piece.size();
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    EVP_DigestFinal_ex(context, digest.data(), &size);
    return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
  }

  EVP_MD_CTX* context;
  std::uint64_t bytes = 0;
};

PartialFile::PartialFile(std::string path) : path_(std::move(path)), digest_(std::make_unique<Digest>()) {}
PartialFile::~PartialFile() = default;

Result<std::uint64_t> PartialFile::append(std::string_view base64, std::int64_t size, std::optional<std::int64_t> offset) {
  auto bytes = decode(base64);
  if (!bytes) return bytes.error();
  if (static_cast<std::int64_t>(bytes->size()) != size)
    return Error{fmt::format("a chunk holds {} bytes, expected the {} that its size says", bytes->size(), size)};
  const std::lock_guard lock(mutex_);
  if (is_removed_) return Error{"the copy has ended already"};
  auto made = make_folder(std::filesystem::path(path_).parent_path());
  if (!made) return made.error();
  FileDescriptor out(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!out) return system_error("open", path_, errno);
  struct stat status {};
  if (::fstat(out.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || status.st_nlink != 1)
    return Error{fmt::format("'{}' is not a file of this daemon, nothing is written to it", path_)};
  const auto present = static_cast<std::uint64_t>(status.st_size);
  if (offset && *offset != status.st_size) {
    if (*offset >= 0 && *offset <= status.st_size - size) return present;
    return Error{fmt::format("a chunk begins at byte {}, but {} bytes have come", *offset, present), "again"};
  }
  if (auto error = write_all(out.get(), *bytes); error != 0) return system_error("write", path_, error);
  if (digest_->bytes == present) digest_->add(*bytes);
  return present + bytes->size();
}

Result<std::string> PartialFile::md5() {
  FileDescriptor in(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in) {
    // Removed by a stop of this daemon: the copy has to come once more.
    const bool is_gone = errno == ENOENT;
    auto why = system_error("open", path_, errno);
    if (is_gone) why.code = "again";
    return why;
  }
  struct stat status {};
  ::fstat(in.get(), &status);
  if (digest_->bytes != static_cast<std::uint64_t>(status.st_size)) {
    // Part of it came before a restart of the daemon.
    digest_->restart();
    std::vector<char> buffer(256 * 1024);
    for (;;) {
      const auto count = ::read(in.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return system_error("read", path_, errno);
      if (count == 0) break;
      digest_->add({buffer.data(), static_cast<std::size_t>(count)});
    }
  }
  auto hex = digest_->hex();
  digest_->restart();
  return hex;
}

void PartialFile::remove() {
  const std::lock_guard lock(mutex_);
  is_removed_ = true;
  ::unlink(path_.c_str());
}

}  // namespace gorgone::action
