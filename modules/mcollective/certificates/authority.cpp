#include "authority.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gorgone/files.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "signed_text.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::string_view secret_head = "gorgone-mcollective-ca-secret 1 ", public_head = "gorgone-mcollective-ca-public 1 ";
constexpr std::size_t key_file_bytes_max = 4096;

Error failure(const std::string& path, const char* what) { return Error{fmt::format("{}: {}: {}", path, what, std::strerror(errno))}; }

std::string in_directory(const std::string& directory, const char* name) { return (std::filesystem::path(directory) / name).string(); }

std::string_view without_end(std::string_view text) { return text.substr(0, text.find_last_not_of(" \t\r\n") + 1); }

}  // namespace

Result<std::string> read_whole_file(const std::string& path, std::size_t bytes_max) {
  // O_NONBLOCK: a pipe of that name must not hold us.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return failure(path, "cannot be read");
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return failure(path, "cannot be read");
  if (!S_ISREG(found.st_mode)) return Error{path + ": expected a plain file"};
  std::string out;
  char buffer[16384];
  for (;;) {
    const auto size = ::read(file.get(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failure(path, "cannot be read");
    if (size == 0) return out;
    out.append(buffer, static_cast<std::size_t>(size));
    if (out.size() > bytes_max) return Error{fmt::format("{}: expected at most {} bytes", path, bytes_max)};
  }
}

Result<void> write_whole_file(const std::string& path, std::string_view text, unsigned mode, bool is_new) {
  NewFile file(path);
  if (auto written = file.write(text, mode); !written) return written;
  if (auto put = file.put(is_new ? NewFile::Over::nothing : NewFile::Over::anything); !put) return put;
  // It is there: what a loss of power may still take is not worth an error.
  static_cast<void>(sync_folder_of(path));
  return {};
}

Result<Authority> make_authority_files(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Error{fmt::format("{}: cannot be made: {}", directory, error.message())};
  const auto secret = in_directory(directory, authority_secret_name), open = in_directory(directory, authority_public_name);
  for (const auto& path : {secret, open})
    if (std::filesystem::exists(std::filesystem::symlink_status(path, error)))
      return Error{fmt::format(
          "{} exists already, expected a directory without one: who replaces it makes all of its certificates worthless", path)};
  const auto made = new_authority();
  const auto secret_line = fmt::format("{}{}\n", secret_head, to_hex(made.secret_key));
  if (const auto written = write_whole_file(secret, secret_line, 0600, true); !written) return written.error();
  const auto public_line = fmt::format("{}{}\n", public_head, to_hex(made.public_key));
  if (const auto written = write_whole_file(open, public_line, 0644, true); !written) return written.error();
  return made;
}

Result<Authority> read_authority_secret(const std::string& directory) {
  const auto path = in_directory(directory, authority_secret_name);
  const auto text = read_whole_file(path, key_file_bytes_max);
  if (!text) return text.error();
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0 && (found.st_mode & 077) != 0)
    return Error{fmt::format("{}: others than its owner may use it (mode {:04o}), expected 0600; whoever has read it can let in anybody",
                             path, found.st_mode & 07777)};
  const auto line = without_end(*text);
  const auto secret = line.starts_with(secret_head) ? from_hex(line.substr(secret_head.size()), crypto_sign_SECRETKEYBYTES) : std::nullopt;
  if (!secret)
    return Error{fmt::format("{}: expected a line \"{}\" and {} hexadecimal digits", path, secret_head, 2 * crypto_sign_SECRETKEYBYTES)};
  // The second half of libsodium's secret key is the public one, which must be that of the first.
  start_sodium();
  Authority out{std::string(crypto_sign_PUBLICKEYBYTES, '\0'), std::string(crypto_sign_SECRETKEYBYTES, '\0')};
  crypto_sign_seed_keypair(bytes_of(out.public_key), bytes_of(out.secret_key), bytes_of(*secret));
  if (out.secret_key != *secret) return Error{path + ": is damaged, its two halves do not belong together"};
  return out;
}

Result<std::string> read_authority_public(std::string_view text) {
  const auto line = without_end(text);
  const auto key = line.starts_with(public_head) ? from_hex(line.substr(public_head.size()), crypto_sign_PUBLICKEYBYTES) : std::nullopt;
  if (!key) return Error{fmt::format("expected a line \"{}\" and {} hexadecimal digits", public_head, 2 * crypto_sign_PUBLICKEYBYTES)};
  return *key;
}

}  // namespace gorgone::mcollective
