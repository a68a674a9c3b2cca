#include "keys.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gorgone/files.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace gorgone::mcollective {
namespace {

constexpr std::size_t key_size = 32, text_size = 40;
constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string why() { return std::strerror(errno); }

Result<void> write_new_key(const std::string& path, std::string_view text, mode_t mode) {
  NewFile file(path);
  auto done = file.write(text, mode);
  if (done) done = file.put();
  if (!done) return Error{"a new key: " + done.error().message};
  return {};
}

bool is_there(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 || errno != ENOENT;
}

Result<KeyPair> make_pair(const std::string& secret_path, const std::string& public_path) {
  auto pair = new_key_pair();
  auto written = write_new_key(public_path, to_z85(pair.public_key) + "\n", 0644);
  if (written) {
    written = write_new_key(secret_path, to_z85(pair.secret_key) + "\n", 0600);
    if (!written) unlink(public_path.c_str());
  }
  if (written) written = sync_folder_of(public_path);
  if (written) written = sync_folder_of(secret_path);
  if (!written) return written.error();
  return pair;
}

}  // namespace

void start_sodium() {
  static const bool is_started = sodium_init() >= 0;
  if (!is_started) throw std::runtime_error("libsodium cannot start: it has no source of random numbers");
}

KeyPair new_key_pair() {
  start_sodium();
  KeyPair pair{std::string(key_size, '\0'), std::string(key_size, '\0')};
  crypto_box_keypair(bytes_of(pair.public_key), bytes_of(pair.secret_key));
  return pair;
}

std::string to_z85(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    std::uint32_t value = 0;
    for (std::size_t j = 0; j < 4; ++j) value = value << 8 | static_cast<unsigned char>(bytes[i + j]);
    for (std::uint32_t place = 85U * 85 * 85 * 85; place > 0; place /= 85) text += digits[value / place % 85];
  }
  return text;
}

Result<std::string> from_z85(std::string_view text) {
  if (text.size() != text_size)
    return Error{fmt::format("got {} characters, expected a key of {} characters of Z85 on one line", text.size(), text_size)};
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 5) {
    std::uint64_t value = 0;
    for (std::size_t j = i; j < i + 5; ++j) {
      const auto digit = digits.find(text[j]);
      if (digit == std::string_view::npos)
        return Error{fmt::format("character {} is none of Z85, expected a key of {} such characters", j + 1, text_size)};
      value = value * 85 + digit;
    }
    if (value > 0xffffffff) return Error{fmt::format("characters {} to {} are beyond the range of Z85", i + 1, i + 5)};
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  }
  return bytes;
}

Result<std::string> read_key_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{fmt::format("{}: {}, expected a file with a CURVE key of {} characters", path, why(), text_size)};
  std::array<char, 256> buffer;
  file.read(buffer.data(), buffer.size());
  if (file.bad()) return Error{fmt::format("{}: cannot be read: {}", path, why())};
  std::string_view text(buffer.data(), static_cast<std::size_t>(file.gcount()));
  while (!text.empty() && std::strchr(" \t\r\n", text.back()) != nullptr) text.remove_suffix(1);
  auto key = from_z85(text);
  sodium_memzero(buffer.data(), buffer.size());
  if (!key) return Error{path + ": " + key.error().message};
  return key;
}

Result<KeyPair> load_or_make_pair(const std::string& secret_path, const std::string& public_path, std::string& warning) {
  const bool has_secret = is_there(secret_path), has_public = is_there(public_path);
  if (!has_secret && !has_public) return make_pair(secret_path, public_path);
  if (!has_secret || !has_public) {
    const auto& absent = has_secret ? public_path : secret_path;
    const auto& there = has_secret ? secret_path : public_path;
    return Error{fmt::format("{} is not there, but {} is; expected both files of the broker's key pair, or neither, to have a new one made",
                             absent, there)};
  }
  auto secret_key = read_key_file(secret_path);
  if (!secret_key) return secret_key.error();
  auto public_key = read_key_file(public_path);
  if (!public_key) return public_key.error();
  std::string expected(key_size, '\0');
  if (crypto_scalarmult_base(bytes_of(expected), bytes_of(*secret_key)) != 0 || expected != *public_key)
    return Error{fmt::format("{} does not hold the public key of the secret key in {}", public_path, secret_path)};
  struct stat found;
  if (stat(secret_path.c_str(), &found) == 0 && (found.st_mode & 077) != 0)
    warning = fmt::format("{} may be read by others (mode {:04o}), expected 0600", secret_path, found.st_mode & 07777);
  return KeyPair{std::move(*public_key), std::move(*secret_key)};
}

}  // namespace gorgone::mcollective
