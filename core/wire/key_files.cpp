#include "core/wire/key_files.hpp"

#include "core/wire/rsa.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <gorgone/files.hpp>

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

}  // namespace

Result<void> generate_key_pair(const std::string& private_file, const std::string& public_file, int bits) {
  if (private_file == public_file)
    return Error{fmt::format("{}: named for the private and for the public key, expected two files", public_file)};
  for (const auto& file : {private_file, public_file})
    if (const auto made = make_directories(std::filesystem::path{file}.parent_path()); !made) return made.error();

  const auto key = RsaPrivateKey::generate(bits);
  if (!key) return key.error();
  NewFile private_half(private_file), public_half(public_file);
  if (const auto written = private_half.write(key->pem(), private_mode); !written) return written.error();
  if (const auto written = public_half.write(key->public_key().pem(), public_mode); !written) return written.error();
  // The private key first: should the second step fail, the public half can still be made from it.
  if (const auto moved = private_half.put(); !moved) return moved.error();
  if (const auto moved = public_half.put(); !moved) return moved.error();
  // They are there: what a loss of power may still take is made anew.
  for (const auto& file : {private_file, public_file}) static_cast<void>(sync_folder_of(file));
  return {};
}

}  // namespace gorgone::wire
