#include "files.hpp"

#include "file_descriptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
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

struct FreeDecoder {
  void operator()(EVP_ENCODE_CTX* context) const { EVP_ENCODE_CTX_free(context); }
};
struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
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

/// Hands a file's content on, piece by piece; `take` gives an errno, 0 to go on.
template <class Take>
Result<void> read_file(int fd, const std::string& path, Take take) {
  std::vector<char> buffer(256 * 1024);
  for (;;) {
    auto count = ::read(fd, buffer.data(), buffer.size());
    if (count == 0) return {};
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", path, errno);
    if (auto error = take(std::string_view(buffer.data(), static_cast<std::size_t>(count))); error != 0) {
      return system_error("write a copy of", path, error);
    }
  }
}

Result<void> fill(int fd, const std::string& source, const std::string& name) {
  FileDescriptor in(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in) return system_error("open", source, errno);
  auto copied = read_file(in.get(), source, [fd](std::string_view piece) { return write_all(fd, piece); });
  if (!copied) return copied;
  if (::fsync(fd) != 0) return system_error("sync", name, errno);
  return {};
}

/// For a file that we may write in a folder that we may not: what deployed daemons do always.
Result<void> overwrite(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes) {
  FileDescriptor out(::open(destination.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!out) return system_error("write", destination, errno);
  auto filled = fill(out.get(), source, destination);
  if (filled) apply(out.get(), destination, ids, notes);
  return filled;
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

Result<void> append_chunk(const std::string& path, std::string_view base64, std::int64_t size) {
  auto bytes = decode(base64);
  if (!bytes) return bytes.error();
  if (static_cast<std::int64_t>(bytes->size()) != size) {
    return Error{fmt::format("a chunk holds {} bytes, expected the {} that its size says", bytes->size(), size)};
  }
  auto made = make_folder(std::filesystem::path(path).parent_path());
  if (!made) return made;
  FileDescriptor out(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!out) return system_error("open", path, errno);
  struct stat status {};
  if (::fstat(out.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || status.st_nlink != 1) {
    return Error{fmt::format("'{}' is not a file of this daemon, nothing is written to it", path)};
  }
  if (auto error = write_all(out.get(), *bytes); error != 0) return system_error("write", path, error);
  return {};
}

Result<std::string> md5_of(const std::string& path) {
  FileDescriptor in(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in) return system_error("open", path, errno);
  std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  if (EVP_DigestInit_ex(context.get(), EVP_md5(), nullptr) != 1) return Error{"this system's OpenSSL gives no MD5"};
  auto read = read_file(in.get(), path, [&](std::string_view piece) {
    EVP_DigestUpdate(context.get(), piece.data(), piece.size());
    return 0;
  });
  if (!read) return read.error();
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  return to_hex(digest.data(), size);
}

Result<void> install_file(const std::string& source, const std::string& destination, const AttributeIds& ids, Notes& notes) {
  // Where a link stands, the file that it leads to is replaced, not the link.
  std::error_code no_such;
  auto resolved = std::filesystem::canonical(destination, no_such);
  auto target = no_such ? destination : resolved.string();
  struct stat present {};
  bool is_there = ::stat(target.c_str(), &present) == 0;
  if (is_there && !S_ISREG(present.st_mode))
    return Error{fmt::format("'{}' is no regular file, expected a file's path as destination", destination)};

  auto folder = std::filesystem::path(target).parent_path().string();
  auto name = folder + "/.gorgone-XXXXXX";
  FileDescriptor out(::mkostemp(name.data(), O_CLOEXEC));
  if (!out && is_there && (errno == EACCES || errno == EPERM || errno == EROFS)) return overwrite(source, target, ids, notes);
  if (!out) return system_error("create a file in", folder, errno);

  AttributeIds applied = ids;
  if (is_there && !applied.uid) applied.uid = present.st_uid;
  if (is_there && !applied.gid) applied.gid = present.st_gid;
  if (!applied.mode) applied.mode = is_there ? present.st_mode & 0777 : 0644;
  apply(out.get(), destination, applied, notes);
  auto filled = fill(out.get(), source, destination);
  if (filled && ::rename(name.c_str(), target.c_str()) != 0) filled = system_error("rename a file to", destination, errno);
  if (!filled) {
    ::unlink(name.c_str());
    return filled;
  }
  sync_folder(folder);
  return {};
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
    auto is_ours = name.size() == 5 + 128 && name.starts_with("copy_") && name.find_first_not_of(hex_digits, 5) == std::string::npos;
    std::error_code ignored;
    if (is_ours && it->is_regular_file(ignored) && !it->is_symlink(ignored) && it->last_write_time(ignored) < oldest) {
      std::filesystem::remove(it->path(), ignored);
    }
  }
}

int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

}  // namespace gorgone::action
