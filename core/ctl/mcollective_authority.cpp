#include "core/ctl/mcollective_authority.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <gorgone/files.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <thread>

#include "modules/mcollective/certificates/authority.hpp"
#include "modules/mcollective/certificates/certificate.hpp"
#include "modules/mcollective/certificates/keys.hpp"

namespace gorgone::ctl {
namespace {

namespace mc = mcollective;
using namespace std::chrono_literals;

constexpr std::size_t list_bytes_max = std::size_t{16} << 20, certificate_bytes_max = std::size_t{64} << 10;
constexpr std::chrono::milliseconds lock_patience = 10s, lock_pause = 50ms;
constexpr std::int64_t clock_difference_s = 60;  ///< a broker's clock may be that much behind ours

std::string in_directory(const std::string& directory, const char* name) { return (std::filesystem::path(directory) / name).string(); }

/// A key as it is, or in a file.
Result<std::string> key_of(const std::string& text) {
  if (const auto bytes = mc::from_z85(text)) return text;
  std::error_code ignored;
  if (!std::filesystem::exists(text, ignored))
    return Error{fmt::format("\"{:.60}\": expected a key, which is 40 characters of Z85, or a file with one", text)};
  const auto bytes = mc::read_key_file(text);
  if (!bytes) return bytes.error();
  return mc::to_z85(*bytes);
}

Result<mc::Authorities> trusted_by(const std::string& ca) {
  const auto path = in_directory(ca, mc::authority_public_name);
  const auto text = mc::read_whole_file(path, list_bytes_max);
  if (!text) return text.error();
  const auto key = mc::read_authority_public(*text);
  if (!key) return Error{fmt::format("{}: {}", path, key.error().message)};
  return mc::Authorities{{mc::thumbprint_of(*key), *key}};
}

/// To be held from reading a list until the new one is in its place: of two that are made at once one would be lost.
Result<FileDescriptor> lock_of(const std::filesystem::path& list) {
  // Hidden: brokers read whole directories.
  const auto path = (list.parent_path() / ("." + list.filename().string() + ".lock")).string();
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  for (auto left = lock_patience; file; left -= lock_pause) {
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
    if (errno != EWOULDBLOCK) break;
    if (left <= lock_pause)
      return Error{fmt::format("{}: another revocation has held it for {} s; nothing was changed", path, lock_patience / 1s)};
    std::this_thread::sleep_for(lock_pause);
  }
  return Error{fmt::format("{}: cannot be locked: {}", path, std::strerror(errno))};
}

Result<mc::Revocations> list_so_far(const std::string& path, const mc::Authority& authority) {
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) return mc::Revocations{};
  const auto text = mc::read_whole_file(path, list_bytes_max);
  if (!text) return text.error();
  auto read = mc::read_revocations(*text, {{authority.thumbprint(), authority.public_key}});
  if (!read) return Error{fmt::format("{}: {}", path, read.error().message)};
  return read;
}

void print_certificate(const std::string& path, const std::string& text, const mc::Authorities* trusted) {
  const auto read = trusted ? mc::read_certificate(text, *trusted) : mc::read_unverified(text);
  if (!read) {
    fmt::print("{}: {}\n", path, read.error().message);
    return;
  }
  const std::int64_t now = std::time(nullptr);
  const auto* state = now < read->not_before_s ? "not yet valid" : now < read->not_after_s ? "valid" : "ended";
  fmt::print("{}: {}{}\n  serial   {}\n  key      {}\n  identity {}\n  from     {}\n  until    {}\n", path, state,
             trusted ? "" : ", signature not looked at (--ca)", read->serial, read->key, read->identity, mc::time_text(read->not_before_s),
             mc::time_text(read->not_after_s));
  auto print_patterns = [](const char* name, const std::optional<mc::Patterns>& patterns) {
    if (patterns && patterns->empty()) fmt::print("  {} nothing\n", name);
    for (const auto& pattern : patterns.value_or(mc::Patterns{})) fmt::print("  {} {}\n", name, pattern);
  };
  print_patterns("publish ", read->topics.publish);
  print_patterns("subscribe", read->topics.subscribe);
}

}  // namespace

Result<void> make_authority(const std::string& directory) {
  const auto made = mc::make_authority_files(directory);
  if (!made) return made.error();
  fmt::print("secret key: {} (keep it off the brokers)\npublic key: {} (certificate_authority of each broker)\nthumbprint: {}\n",
             in_directory(directory, mc::authority_secret_name), in_directory(directory, mc::authority_public_name), made->thumbprint());
  return {};
}

Result<std::string> sign_certificate(const SignWish& wish) {
  const auto authority = mc::read_authority_secret(wish.ca);
  if (!authority) return authority.error();
  const auto key = key_of(wish.key);
  if (!key) return Error{"--key: " + key.error().message};
  const auto lasts = mc::read_duration(wish.duration);
  if (!lasts) return Error{fmt::format("--for: got \"{}\", {}", wish.duration, lasts.error().message)};
  mc::Certificate certificate;
  certificate.serial = mc::new_serial();
  certificate.key = *key;
  certificate.identity = wish.identity;
  certificate.not_before_s = std::time(nullptr);
  certificate.not_after_s = certificate.not_before_s + *lasts;
  certificate.not_before_s -= clock_difference_s;
  if (!wish.from.empty()) {
    const auto from = mc::read_time(wish.from);
    if (!from) return Error{fmt::format("--from: got \"{}\", {}", wish.from, from.error().message)};
    certificate.not_before_s = *from;
    certificate.not_after_s = *from + *lasts;
  }
  auto patterns = [](const std::vector<std::string>& given) {
    mc::Patterns out;
    std::copy_if(given.begin(), given.end(), std::back_inserter(out), [](const auto& pattern) { return !pattern.empty(); });
    return out;
  };
  if (wish.says_publish) certificate.topics.publish = patterns(wish.publish);
  if (wish.says_subscribe) certificate.topics.subscribe = patterns(wish.subscribe);
  auto text = mc::sign(certificate, *authority);
  if (!text || wish.out.empty()) return text;
  if (const auto written = mc::write_whole_file(wish.out, *text, 0644, false); !written) return written.error();
  return text;
}

Result<std::string> revoke(const RevokeWish& wish) {
  const auto authority = mc::read_authority_secret(wish.ca);
  if (!authority) return authority.error();
  const auto path = wish.list.empty() ? in_directory(wish.ca, "revoked") : wish.list;
  const auto lock = lock_of(path);
  if (!lock) return lock.error();
  auto list = list_so_far(path, *authority);
  if (!list) return list.error();
  for (const auto& what : wish.what) {
    const bool is_serial = mc::is_serial(what);
    const auto key = is_serial ? Result<std::string>(what) : key_of(what);
    if (!key) return Error{key.error().message + ", or the serial of a certificate"};
    auto& entries = is_serial ? list->serials : list->keys;
    if (!wish.is_undo)
      entries.insert(*key);
    else if (entries.erase(*key) == 0)
      return Error{fmt::format("{}: {} is not in it", path, *key)};
  }
  // Brokers take no older list in place of a newer one: one that is begun anew, because the file was lost, must be the newer one.
  const std::int64_t now = std::time(nullptr);
  list->number = std::max(list->number + 1, static_cast<std::uint64_t>(now));
  list->issued_s = now;
  auto text = mc::sign(*list, *authority);
  if (!text) return text;
  if (const auto written = mc::write_whole_file(path, *text, 0644, false); !written) return written.error();
  fmt::print("list number {} with {} keys and {} certificates: {}\n", list->number, list->keys.size(), list->serials.size(), path);
  return text;
}

Result<void> list_certificate_files(const std::vector<std::string>& paths, const std::string& ca) {
  std::optional<mc::Authorities> trusted;
  if (!ca.empty()) {
    auto read = trusted_by(ca);
    if (!read) return read.error();
    trusted = std::move(*read);
  }
  for (const auto& path : paths) {
    std::vector<std::string> files;
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
        if (at->is_regular_file(error)) files.push_back(at->path().string());
      std::sort(files.begin(), files.end());
    } else {
      files.push_back(path);
    }
    for (const auto& file : files) {
      const auto text = mc::read_whole_file(file, certificate_bytes_max);
      if (!text) return text.error();
      print_certificate(file, *text, trusted ? &*trusted : nullptr);
    }
  }
  return {};
}

}  // namespace gorgone::ctl
