#include "core/key_setup.hpp"

#include <fmt/format.h>
#include <gorgone/key_file.hpp>
#include <gorgone/log.hpp>

#include <algorithm>
#include <filesystem>

#include "core/wire/key_files.hpp"

namespace gorgone {
namespace {

constexpr int first_start_bits = 2048;
constexpr std::size_t thumbprint_size = 43;  // of SHA-256 in base64url

bool is_thumbprint(const std::string& text) {
  auto is_fit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; };
  return text.size() == thumbprint_size && std::all_of(text.begin(), text.end(), is_fit);
}

net::FingerprintMode mode_of(const std::string& name) {
  if (name == "always") return net::FingerprintMode::always;
  if (name == "strict") return net::FingerprintMode::strict;
  return net::FingerprintMode::first;
}

}  // namespace

Result<std::shared_ptr<const net::KeyRing>> load_key_ring(const Settings& core, bool make, std::vector<Problem>& problems) {
  const auto private_file = core.text("privkey"), public_file = core.text("pubkey");
  std::error_code ignored;
  const bool both_missing = !std::filesystem::exists(private_file, ignored) && !std::filesystem::exists(public_file, ignored);
  if (both_missing) {
    if (!make) {
      problems.push_back(
          {Problem::Severity::warning, "gorgonecore.privkey: there is no " + private_file + " yet; a key pair is made at the first start"});
      return std::shared_ptr<const net::KeyRing>();
    }
    const auto made = wire::generate_key_pair(private_file, public_file, first_start_bits);
    if (!made) return Error{"gorgonecore.privkey: cannot make a key pair: " + made.error().message};
    Log("core").info("made a key pair of {} bits: {} {}", first_start_bits, private_file, public_file);
  }
  auto private_key = wire::load_private_key(private_file);
  if (!private_key) return Error{"gorgonecore.privkey: " + private_key.error().message};
  if (const auto warning = key_file_warning(private_file); !warning.empty())
    problems.push_back({Problem::Severity::warning, "gorgonecore.privkey: " + warning});
  auto public_key = wire::load_public_key(public_file);
  if (!public_key) return Error{"gorgonecore.pubkey: " + public_key.error().message};
  if (!(*public_key == private_key->public_key()))
    return Error{"gorgonecore.pubkey: " + public_file + " does not belong to the private key " + private_file};

  net::KeyRing ring{*private_key, *public_key, {}, mode_of(core.text("fingerprint_mode"))};
  const auto clients = core.items("authorized_clients");
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const auto key = clients[i].text("key");
    if (!is_thumbprint(key))
      problems.push_back(
          {Problem::Severity::warning,
           fmt::format("gorgonecore.authorized_clients[{}].key: \"{}\" is no thumbprint, so that no peer has it; expected {} "
                       "characters, as gorgonectl keys thumbprint prints them",
                       i, printable(key, 80), thumbprint_size)});
    ring.authorized.insert(key);
  }
  return std::make_shared<const net::KeyRing>(std::move(ring));
}

}  // namespace gorgone
