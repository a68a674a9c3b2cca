#include "core/ctl/keys.hpp"

#include "core/wire/key_files.hpp"
#include "core/wire/rsa.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gorgone/wss_text.hpp>

#include <filesystem>
#include <memory>
#include <string>

namespace gorgone::ctl {
namespace {

constexpr const char* deployed_directory = "/var/lib/centreon-gorgone/.keys";
constexpr const char* private_name = "rsakey.priv.pem";
constexpr const char* public_name = "rsakey.pub.pem";

struct Wish {
  std::string key_file = fmt::format("{}/{}", deployed_directory, public_name);
  std::string secret_file = fmt::format("{}/{}", deployed_directory, private_name);
  std::string directory = deployed_directory;
  std::string private_file;
  std::string public_file;
  int bits = 2048;
  bool force = false;
};

Result<void> print_thumbprint(const std::string& file) {
  const auto key = wire::load_public_key(file);
  if (!key) return key.error();
  fmt::print("{}\n", key->thumbprint());
  return {};
}

Result<void> print_secret_thumbprint(const std::string& file) {
  const auto key = wire::load_private_key(file);
  if (!key) return key.error();
  fmt::print("{}\n", wss::thumbprint_of_secret(key->secret_for(wss::secret_purpose)));
  return {};
}

/// The daemon seldom runs as root: a private key that root alone may read would stop it.
void warn_of_owner(const std::string& file) {
  const auto directory = std::filesystem::absolute(file).parent_path().string();
  struct stat found {};
  if (::stat(directory.c_str(), &found) != 0 || found.st_uid == ::geteuid()) return;
  fmt::print(
      stderr,
      "gorgonectl: warning: {} belongs to user {} and its directory to user {}; if gorgoned runs as that user, run: chown {}:{} {}\n", file,
      ::geteuid(), found.st_uid, found.st_uid, found.st_gid, file);
}

Result<void> generate(const Wish& wish) {
  const auto in_directory = [&](const char* name) { return (std::filesystem::path{wish.directory} / name).string(); };
  const std::string private_file = wish.private_file.empty() ? in_directory(private_name) : wish.private_file;
  const std::string public_file = wish.public_file.empty() ? in_directory(public_name) : wish.public_file;
  for (const auto& file : {private_file, public_file}) {
    std::error_code failure;
    const auto status = std::filesystem::symlink_status(file, failure);
    if (!wish.force && std::filesystem::exists(status))
      return Error{
          fmt::format("{} exists already; --force replaces it, and every node that knows the old key then needs the new one", file)};
  }
  if (const auto made = wire::generate_key_pair(private_file, public_file, wish.bits); !made) return made.error();
  fmt::print("private key: {}\npublic key: {}\nthumbprint: ", private_file, public_file);
  const auto printed = print_thumbprint(public_file);
  warn_of_owner(private_file);
  warn_of_owner(public_file);
  return printed;
}

}  // namespace

void add_keys(CLI::App& program, Result<void>& outcome) {
  const auto wish = std::make_shared<Wish>();
  auto* const keys = program.add_subcommand("keys", "This node's RSA keys");
  keys->require_subcommand(1);

  auto* const thumbprint = keys->add_subcommand("thumbprint", "Print the thumbprint of a key, as authorized_clients lists it");
  auto* const file = thumbprint->add_option("file", wish->key_file, "A public or private key in PEM form")->capture_default_str();
  thumbprint->add_option("--key-path", wish->key_file, "The same, as an option")->excludes(file);
  thumbprint->callback([wish, &outcome] { outcome = print_thumbprint(wish->key_file); });

  auto* const secret = keys->add_subcommand("secret", "Print the thumbprint of the secret that a node shows its central by WebSocket");
  secret->add_option("file", wish->secret_file, "The node's private key in PEM form")->capture_default_str();
  secret->callback([wish, &outcome] { outcome = print_secret_thumbprint(wish->secret_file); });

  auto* const making = keys->add_subcommand("generate", "Make a pair of keys, and print where it is and its thumbprint");
  auto* const directory = making->add_option("--dir", wish->directory, fmt::format("Where {} and {} are made", private_name, public_name))
                              ->capture_default_str();
  auto* const private_file = making->add_option("--private", wish->private_file, "File of the private key, in place of --dir");
  auto* const public_file = making->add_option("--public", wish->public_file, "File of the public key, in place of --dir");
  private_file->needs(public_file)->excludes(directory);
  public_file->needs(private_file)->excludes(directory);
  making->add_option("--bits", wish->bits, "Size of the key")->check(CLI::IsMember({2048, 4096}))->capture_default_str();
  making->add_flag("--force", wish->force, "Replace keys that exist");
  making->callback([wish, &outcome] { outcome = generate(*wish); });
}

}  // namespace gorgone::ctl
