#include "core/key_setup.hpp"

#include <gorgone/log.hpp>

#include <filesystem>

#include "core/wire/key_files.hpp"

namespace gorgone {
namespace {

constexpr int first_start_bits = 2048;

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
  if (wire::readable_by_others(private_file))
    problems.push_back(
        {Problem::Severity::warning, "gorgonecore.privkey: others than its owner can read " + private_file + "; expected mode 0600"});
  auto public_key = wire::load_public_key(public_file);
  if (!public_key) return Error{"gorgonecore.pubkey: " + public_key.error().message};
  if (!(*public_key == private_key->public_key()))
    return Error{"gorgonecore.pubkey: " + public_file + " does not belong to the private key " + private_file};

  net::KeyRing ring{*private_key, *public_key, {}, mode_of(core.text("fingerprint_mode"))};
  for (const auto& client : core.items("authorized_clients")) ring.authorized.insert(client.text("key"));
  return std::make_shared<const net::KeyRing>(std::move(ring));
}

}  // namespace gorgone
