#include "certificate.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>

#include "keys.hpp"
#include "signed_text.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::string_view certificate_head = "gorgone mcollective certificate 1";
constexpr std::string_view revocations_head = "gorgone mcollective revocations 1";
constexpr std::size_t certificate_bytes_max = std::size_t{16} << 10, revocations_bytes_max = std::size_t{16} << 20;
constexpr std::size_t patterns_max = 64, serial_digits = 20;

Result<void> check_key(std::string_view key) {
  if (const auto bytes = from_z85(key); !bytes) return Error{"key: " + bytes.error().message};
  return {};
}

// A line break in a pattern would be a line of its own.
Result<void> check_patterns(const Certificate& certificate) {
  if (auto good = check_identity_pattern(certificate.identity); !good) return Error{"identity: " + good.error().message};
  for (const auto* patterns : {&certificate.topics.publish, &certificate.topics.subscribe})
    if (*patterns)
      for (const auto& pattern : **patterns)
        if (auto good = check_pattern(pattern); !good) return good;
  return check_key(certificate.key);
}

void write_patterns(std::string& text, const char* name, const std::optional<Patterns>& patterns) {
  if (!patterns) return;
  if (patterns->empty()) text += fmt::format("{}:\n", name);
  for (const auto& pattern : *patterns) text += fmt::format("{}: {}\n", name, pattern);
}

Result<std::optional<Patterns>> take_patterns(SignedLines& lines, const char* name) {
  std::optional<Patterns> out;
  while (lines.next_is(name)) {
    auto value = lines.take(name);
    if (!value) return value.error();
    if (!out) out.emplace();
    if (out->size() == patterns_max) return lines.wrong(fmt::format("expected at most {} of {}", patterns_max, name));
    if (value->empty()) continue;
    if (const auto good = check_pattern(*value); !good) return lines.wrong(good.error().message);
    out->emplace_back(*value);
  }
  return out;
}

Result<std::int64_t> take_time(SignedLines& lines, const char* name) {
  const auto text = lines.take(name);
  if (!text) return text.error();
  const auto time = read_time(*text);
  if (!time) return lines.wrong(time.error().message);
  return *time;
}

// All but the signature, which says whether any of it is true.
Result<Certificate> read_lines(SignedLines& lines) {
  Certificate out;
  const auto serial = lines.take("serial");
  if (!serial) return serial.error();
  if (!is_serial(*serial)) return lines.wrong(fmt::format("expected a serial of {} hexadecimal digits", serial_digits));
  out.serial = *serial;
  const auto key = lines.take("key");
  if (!key) return key.error();
  if (const auto good = check_key(*key); !good) return lines.wrong(good.error().message);
  out.key = *key;
  const auto identity = lines.take("identity");
  if (!identity) return identity.error();
  if (const auto good = check_identity_pattern(*identity); !good) return lines.wrong(good.error().message);
  out.identity = *identity;
  auto publish = take_patterns(lines, "publish");
  if (!publish) return publish.error();
  auto subscribe = take_patterns(lines, "subscribe");
  if (!subscribe) return subscribe.error();
  out.topics = {std::move(*publish), std::move(*subscribe)};
  const auto not_before = take_time(lines, "not_before");
  if (!not_before) return not_before.error();
  const auto not_after = take_time(lines, "not_after");
  if (!not_after) return not_after.error();
  if (*not_after <= *not_before) return lines.wrong("expected a not_after later than not_before");
  out.not_before_s = *not_before;
  out.not_after_s = *not_after;
  const auto issuer = lines.take("issuer");
  if (!issuer) return issuer.error();
  out.issuer = *issuer;
  return out;
}

Result<Revocations> read_list(SignedLines& lines) {
  Revocations out;
  const auto number = lines.take("number");
  if (!number) return number.error();
  const auto read = read_number(*number);
  if (!read) return lines.wrong("expected a whole number");
  out.number = *read;
  const auto issued = take_time(lines, "issued");
  if (!issued) return issued.error();
  out.issued_s = *issued;
  const auto issuer = lines.take("issuer");
  if (!issuer) return issuer.error();
  out.issuer = *issuer;
  while (lines.next_is("serial")) {
    const auto serial = lines.take("serial");
    if (!serial || !is_serial(*serial)) return lines.wrong(fmt::format("expected a serial of {} hexadecimal digits", serial_digits));
    out.serials.emplace(*serial);
  }
  while (lines.next_is("key")) {
    const auto key = lines.take("key");
    if (!key) return key.error();
    if (const auto good = check_key(*key); !good) return lines.wrong(good.error().message);
    out.keys.emplace(*key);
  }
  return out;
}

}  // namespace

std::string Authority::thumbprint() const { return thumbprint_of(public_key); }

std::string thumbprint_of(std::string_view public_key) {
  std::string hash(crypto_hash_sha256_BYTES, '\0');
  crypto_hash_sha256(bytes_of(hash), bytes_of(public_key), public_key.size());
  return to_hex(hash);
}

Authority new_authority() {
  start_sodium();
  Authority out{std::string(crypto_sign_PUBLICKEYBYTES, '\0'), std::string(crypto_sign_SECRETKEYBYTES, '\0')};
  crypto_sign_keypair(bytes_of(out.public_key), bytes_of(out.secret_key));
  return out;
}

std::string new_serial() {
  start_sodium();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  return fmt::format("{:012x}{:08x}", ms & 0xffffffffffff, randombytes_random());
}

bool is_serial(std::string_view text) {
  return text.size() == serial_digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::string> sign(const Certificate& certificate, const Authority& authority) {
  if (const auto good = check_patterns(certificate); !good) return good.error();
  std::string text =
      fmt::format("{}\nserial: {}\nkey: {}\nidentity: {}\n", certificate_head, certificate.serial, certificate.key, certificate.identity);
  write_patterns(text, "publish", certificate.topics.publish);
  write_patterns(text, "subscribe", certificate.topics.subscribe);
  text += fmt::format("not_before: {}\nnot_after: {}\nissuer: {}\n", time_text(certificate.not_before_s),
                      time_text(certificate.not_after_s), authority.thumbprint());
  append_signature(text, authority.secret_key);
  // What was signed must be readable by those who get it.
  const auto read = read_certificate(text, {{authority.thumbprint(), authority.public_key}});
  if (!read) return read.error();
  return text;
}

Result<std::string> sign(const Revocations& revocations, const Authority& authority) {
  std::string text = fmt::format("{}\nnumber: {}\nissued: {}\nissuer: {}\n", revocations_head, revocations.number,
                                 time_text(revocations.issued_s), authority.thumbprint());
  for (const auto& serial : revocations.serials) text += fmt::format("serial: {}\n", serial);
  for (const auto& key : revocations.keys) text += fmt::format("key: {}\n", key);
  append_signature(text, authority.secret_key);
  const auto read = read_revocations(text, {{authority.thumbprint(), authority.public_key}});
  if (!read) return read.error();
  return text;
}

Result<Certificate> read_unverified(std::string_view text) {
  auto lines = SignedLines::split(text, certificate_head, certificate_bytes_max, "certificate");
  if (!lines) return lines.error();
  auto out = read_lines(*lines);
  if (!out) return out;
  if (const auto rest = lines->end(); !rest) return rest.error();
  return out;
}

Result<Certificate> read_certificate(std::string_view text, const Authorities& authorities) {
  auto lines = SignedLines::split(text, certificate_head, certificate_bytes_max, "certificate");
  if (!lines) return lines.error();
  auto out = read_lines(*lines);
  if (!out) return out;
  if (const auto good = lines->verify(out->issuer, authorities); !good) return good.error();
  return out;
}

Result<Revocations> read_revocations(std::string_view text, const Authorities& authorities) {
  auto lines = SignedLines::split(text, revocations_head, revocations_bytes_max, "list of revocations");
  if (!lines) return lines.error();
  auto out = read_list(*lines);
  if (!out) return out;
  if (const auto good = lines->verify(out->issuer, authorities); !good) return good.error();
  return out;
}

bool is_revocations(std::string_view text) { return text.starts_with(revocations_head); }

}  // namespace gorgone::mcollective
