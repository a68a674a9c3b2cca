#include "access.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace gorgone::httpserver {

namespace {

namespace ip = boost::asio::ip;

std::array<unsigned char, 16> as_v6_bytes(const ip::address& address) {
  if (address.is_v6()) return address.to_v6().to_bytes();
  return ip::make_address_v6(ip::v4_mapped, address.to_v4()).to_bytes();
}

bool is_v4(const ip::address& address) { return address.is_v4() || address.to_v6().is_v4_mapped(); }

/// A client owns a whole /64 of IPv6: guesses from all of it count together.
ip::address guesser(const ip::address& address) {
  auto bytes = as_v6_bytes(address);
  if (!is_v4(address)) std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return ip::address_v6(bytes);
}

std::array<unsigned char, 32> digest(std::string_view text) {
  std::array<unsigned char, 32> out{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return out;
}

bool equals_ignoring_case(std::string_view left, std::string_view right) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [&](char a, char b) { return lower(a) == lower(b); });
}

/// "user:password" out of "Basic dXNlcjpwYXNzd29yZA==", nothing where it is something else.
std::string decode_basic(std::string_view header) {
  constexpr std::string_view scheme = "Basic ";
  if (header.size() < scheme.size() || !equals_ignoring_case(header.substr(0, scheme.size()), scheme)) return {};
  header.remove_prefix(scheme.size());
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  // OpenSSL decodes padding as zero bytes, and insists on it.
  std::string padded(header.substr(0, header.find_last_not_of('=') + 1));
  const auto padding = (4 - padded.size() % 4) % 4;
  padded.append(padding, '=');
  std::string text(padded.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(padded.data()),
                                   static_cast<int>(padded.size()));
  if (size < static_cast<int>(padding) || padding == 3) return {};
  text.resize(static_cast<std::size_t>(size) - padding);
  return text;
}

}  // namespace

Result<Subnet> Subnet::parse(std::string_view text) {
  auto wrong = [&] {
    return Error{"got \"" + std::string(text) + "\", expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32"};
  };
  auto slash = text.find('/');
  boost::system::error_code error;
  auto address = ip::make_address(std::string(text.substr(0, slash)), error);
  if (error) return wrong();
  const unsigned width = address.is_v4() ? 32 : 128;
  unsigned bits = width;
  if (slash != std::string_view::npos) {
    auto digits = text.substr(slash + 1);
    auto [end, parse_error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (parse_error != std::errc() || end != digits.data() + digits.size() || bits > width) return wrong();
  }
  Subnet subnet;
  subnet.bytes_ = as_v6_bytes(address);
  subnet.bits_ = bits + (128 - width);
  subnet.is_v4_ = is_v4(address);
  return subnet;
}

bool Subnet::contains(const ip::address& address) const {
  // ::/0 means every IPv6 address, not every IPv4 address.
  if (is_v4(address) != is_v4_) return false;
  auto bytes = as_v6_bytes(address);
  const auto whole = static_cast<std::ptrdiff_t>(bits_ / 8);
  if (!std::equal(bytes.begin(), bytes.begin() + whole, bytes_.begin())) return false;
  if (bits_ % 8 == 0) return true;
  const auto mask = static_cast<unsigned char>(0xff << (8 - bits_ % 8));
  const auto at = bits_ / 8;
  return (bytes[at] & mask) == (bytes_[at] & mask);
}

bool contains(const std::vector<Subnet>& subnets, const ip::address& address) {
  return std::any_of(subnets.begin(), subnets.end(), [&](const Subnet& subnet) { return subnet.contains(address); });
}

Credentials::Credentials(std::string_view user, std::string_view password)
    : digest_(digest(std::string(user) + ':' + std::string(password))) {}

bool Credentials::accept(std::string_view header) const {
  auto given = digest(decode_basic(header));
  return CRYPTO_memcmp(given.data(), digest_.data(), digest_.size()) == 0;
}

std::chrono::milliseconds Guesses::failed(const ip::address& address, Clock::time_point now) {
  auto key = guesser(address);
  auto found = addresses_.find(key);
  if (found == addresses_.end()) {
    make_room(now);
    found = addresses_.emplace(key, Entry{}).first;
  }
  auto& entry = found->second;
  if (now - entry.last > forgotten_after) entry.failures = 0;
  entry.last = now;
  auto delay = first_delay * (1 << std::min(entry.failures, 4u));
  ++entry.failures;
  return std::min(delay, longest_delay);
}

ToldRefusals::Told ToldRefusals::refused(const ip::address& address, Clock::time_point now) {
  Told told;
  if (now >= over_) {
    told.silent = std::exchange(silent_, 0);
    addresses_.clear();
    over_ = now + span;
  }
  const auto key = guesser(address);
  told.is_told = (addresses_.contains(key) || addresses_.size() < most_addresses) && addresses_[key]++ < most_of_address;
  if (!told.is_told) ++silent_;
  return told;
}

Guesses::Delayed::Delayed(Guesses& guesses, const ip::address& address)
    : guesses_(guesses), place_(guesses.delayed_.emplace(guesser(address), 0).first) {
  ++place_->second;
}

Guesses::Delayed::~Delayed() {
  if (--place_->second == 0) guesses_.delayed_.erase(place_);
}

bool Guesses::are_many(const ip::address& address) const {
  const auto found = delayed_.find(guesser(address));
  return found != delayed_.end() && found->second >= most_delayed;
}

void Guesses::succeeded(const ip::address& address) { addresses_.erase(guesser(address)); }

void Guesses::make_room(Clock::time_point now) {
  if (addresses_.size() < most_addresses) return;
  std::erase_if(addresses_, [&](const auto& item) { return now - item.second.last > forgotten_after; });
  if (addresses_.size() < most_addresses) return;
  auto older = [](const auto& left, const auto& right) { return left.second.last < right.second.last; };
  addresses_.erase(std::min_element(addresses_.begin(), addresses_.end(), older));
}

}  // namespace gorgone::httpserver
