#include "curve_box.hpp"

#include <algorithm>
#include <cstring>

namespace gorgone::mcollective {
namespace {

// The first block of the stream is the key of the tag, then what seals the first bytes of the text.
constexpr std::size_t block = 64, mac_key = 32, in_first_block = block - mac_key;

using Block = std::array<unsigned char, block>;
using Nonce = std::array<unsigned char, 8>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(char* text) { return reinterpret_cast<unsigned char*>(text); }

Nonce bytes_of(std::uint64_t number) {
  Nonce nonce;
  for (std::size_t i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<unsigned char>(number >> (8 * (nonce.size() - 1 - i)));
  return nonce;
}

template <class Key>
void xor_from(unsigned char* out, const unsigned char* in, std::size_t size, const Nonce& nonce, std::size_t block_number, const Key& key) {
  crypto_stream_salsa20_xor_ic(out, in, size, nonce.data(), block_number, key.data());
}

}  // namespace

BoxKey::BoxKey(const unsigned char* shared_key, std::string_view prefix) {
  crypto_core_hsalsa20(bytes_.data(), bytes_of(prefix), shared_key, nullptr);
}

void BoxKey::seal(char* out, unsigned char first, std::string_view rest, std::uint64_t number) const {
  const auto nonce = bytes_of(number);
  const auto head = std::min(rest.size(), in_first_block - 1);
  Block start{};
  start[mac_key] = first;
  if (head > 0) std::memcpy(start.data() + mac_key + 1, rest.data(), head);
  xor_from(start.data(), start.data(), block, nonce, 0, bytes_);
  auto* const sealed = bytes_of(out) + tag_size;
  std::memcpy(sealed, start.data() + mac_key, 1 + head);
  if (rest.size() > head) xor_from(sealed + in_first_block, bytes_of(rest) + head, rest.size() - head, nonce, 1, bytes_);
  crypto_onetimeauth_poly1305(bytes_of(out), sealed, 1 + rest.size(), start.data());
}

bool BoxKey::open(std::string_view box, std::uint64_t number, unsigned char& first, std::string& rest) const {
  const auto nonce = bytes_of(number);
  const auto sealed = box.substr(tag_size);
  const auto head = std::min(sealed.size(), in_first_block);
  Block start{};
  std::memcpy(start.data() + mac_key, sealed.data(), head);
  xor_from(start.data(), start.data(), block, nonce, 0, bytes_);
  if (crypto_onetimeauth_poly1305_verify(bytes_of(box), bytes_of(sealed), sealed.size(), start.data()) != 0) return false;
  first = start[mac_key];
  rest.resize(sealed.size() - 1);
  if (head > 1) std::memcpy(rest.data(), start.data() + mac_key + 1, head - 1);
  if (sealed.size() > head) xor_from(bytes_of(rest.data()) + head - 1, bytes_of(sealed) + head, sealed.size() - head, nonce, 1, bytes_);
  return true;
}

BoxOpener::BoxOpener(const BoxKey& key, std::uint64_t number, std::string_view box_start) : key_(key), nonce_(bytes_of(number)) {
  std::memcpy(tag_.data(), box_start.data(), tag_.size());
  const auto sealed = box_start.substr(BoxKey::tag_size);
  Block start{};
  std::memcpy(start.data() + mac_key, sealed.data(), in_first_block);
  xor_from(start.data(), start.data(), block, nonce_, 0, key_.bytes_);
  crypto_onetimeauth_poly1305_init(&mac_, start.data());
  crypto_onetimeauth_poly1305_update(&mac_, bytes_of(sealed), sealed.size());
  first_ = start[mac_key];
  open_ = in_first_block - 1;
  rest_.assign(reinterpret_cast<const char*>(start.data()) + mac_key + 1, open_);
}

void BoxOpener::add(std::string_view sealed) {
  crypto_onetimeauth_poly1305_update(&mac_, bytes_of(sealed), sealed.size());
  rest_ += sealed;
  open_until(rest_.size() - (rest_.size() - open_) % block);
}

void BoxOpener::open_until(std::size_t end) {
  if (end == open_) return;
  auto* const at = bytes_of(rest_.data()) + open_;
  xor_from(at, at, end - open_, nonce_, 1 + open_ / block, key_.bytes_);  // open_ is block - 33 behind a multiple of it
  open_ = end;
}

bool BoxOpener::finish() {
  open_until(rest_.size());
  std::array<unsigned char, BoxKey::tag_size> expected;
  crypto_onetimeauth_poly1305_final(&mac_, expected.data());
  return sodium_memcmp(expected.data(), tag_.data(), tag_.size()) == 0;
}

BoxSealer::BoxSealer(const BoxKey& key, std::uint64_t number, unsigned char first, std::string_view rest)
    : key_(key), nonce_(bytes_of(number)), rest_(rest.substr(in_first_block - 1)) {
  Block start{};
  start[mac_key] = first;
  std::memcpy(start.data() + mac_key + 1, rest.data(), in_first_block - 1);
  xor_from(start.data(), start.data(), block, nonce_, 0, key_.bytes_);
  std::memcpy(start_.data() + BoxKey::tag_size, start.data() + mac_key, in_first_block);
  crypto_onetimeauth_poly1305_init(&mac_, start.data());
  crypto_onetimeauth_poly1305_update(&mac_, start.data() + mac_key, in_first_block);
}

bool BoxSealer::prepare(std::size_t bytes) {
  std::array<unsigned char, 16384> sealed;
  const auto end = std::min(rest_.size(), prepared_ + bytes);
  while (prepared_ < end) {
    const auto size = std::min(sealed.size(), rest_.size() - prepared_);
    xor_from(sealed.data(), bytes_of(rest_) + prepared_, size, nonce_, 1 + prepared_ / block, key_.bytes_);
    crypto_onetimeauth_poly1305_update(&mac_, sealed.data(), size);
    prepared_ += size;
  }
  if (prepared_ < rest_.size()) return false;
  crypto_onetimeauth_poly1305_final(&mac_, bytes_of(start_.data()));
  return true;
}

std::size_t BoxSealer::read(char* out, std::size_t size) {
  if (!has_start_) {
    has_start_ = true;
    std::memcpy(out, start_.data(), start_.size());
    return start_.size();
  }
  size = std::min(size - size % block, rest_.size() - sent_);
  xor_from(bytes_of(out), bytes_of(rest_) + sent_, size, nonce_, 1 + sent_ / block, key_.bytes_);
  sent_ += size;
  return size;
}

}  // namespace gorgone::mcollective
