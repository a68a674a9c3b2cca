#include "signed_text.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <charconv>
#include <ctime>
#include <stdexcept>

namespace gorgone::mcollective {
namespace {

constexpr std::string_view signature_name = "signature: ";
constexpr std::int64_t second_max = 253402300799, duration_max = 100 * std::int64_t{366} * 86400;  // the end of 9999

bool has_name(std::string_view line, std::string_view name) {
  return line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':';
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  int out = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (i >= text.size() || text[i] < '0' || text[i] > '9') return {};
    out = out * 10 + (text[i] - '0');
  }
  return out;
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::optional<std::string> from_hex(std::string_view text, std::size_t size) {
  std::string out(size, '\0');
  std::size_t written = 0;
  const char* end = nullptr;
  if (text.size() != size * 2 || sodium_hex2bin(bytes_of(out), size, text.data(), text.size(), nullptr, &written, &end) != 0 ||
      written != size || end != text.data() + text.size())
    return {};
  return out;
}

std::optional<std::uint64_t> read_number(std::string_view text) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return out;
}

void append_signature(std::string& text, std::string_view secret_key) {
  start_sodium();
  if (secret_key.size() != crypto_sign_SECRETKEYBYTES) throw std::logic_error("signed with something that is no secret key");
  std::string signature(crypto_sign_BYTES, '\0');
  crypto_sign_detached(bytes_of(signature), nullptr, bytes_of(text), text.size(), bytes_of(secret_key));
  text += fmt::format("{}{}\n", signature_name, to_hex(signature));
}

Result<SignedLines> SignedLines::split(std::string_view text, std::string_view head, std::size_t bytes_max, const char* what) {
  if (text.size() > bytes_max) return Error{fmt::format("{} of {} bytes, expected at most {}", what, text.size(), bytes_max)};
  SignedLines out;
  out.what_ = what;
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  const auto last = text.rfind('\n');
  if (!text.starts_with(head) || text.substr(head.size(), 1) != "\n")
    return Error{fmt::format("no {}: its first line is not \"{}\"", what, head)};
  const auto line = text.substr(last + 1);
  const auto signature = line.starts_with(signature_name) ? from_hex(line.substr(signature_name.size()), crypto_sign_BYTES) : std::nullopt;
  if (!signature)
    return Error{fmt::format("{}: its last line is no signature, expected \"{}\" and {} hexadecimal digits", what, signature_name,
                             2 * crypto_sign_BYTES)};
  out.signed_ = text.substr(0, last + 1);
  out.signature_ = *signature;
  for (auto rest = out.signed_; !rest.empty();) {
    const auto end = rest.find('\n');
    out.lines_.push_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  return out;
}

bool SignedLines::next_is(std::string_view name) const { return next_ < lines_.size() && has_name(lines_[next_], name); }

Result<std::string_view> SignedLines::take(std::string_view name) {
  ++next_;
  if (next_ > lines_.size() || !has_name(lines_[next_ - 1], name)) return wrong(fmt::format("expected \"{}: …\"", name));
  auto value = lines_[next_ - 1].substr(name.size() + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

Error SignedLines::wrong(std::string_view why) const { return Error{fmt::format("{}, line {}: {}", what_, next_, why)}; }

Result<void> SignedLines::end() const {
  if (next_ == lines_.size()) return {};
  return Error{fmt::format("{}, line {}: expected the signature", what_, next_ + 1)};
}

Result<void> SignedLines::verify(std::string_view issuer, const Authorities& authorities) const {
  if (const auto all = end(); !all) return all;
  const auto authority = authorities.find(issuer);
  if (authority == authorities.end())
    return Error{fmt::format("{} of an issuer that is not trusted here, {:.16}…: expected one of certificate_authority", what_, issuer)};
  start_sodium();
  if (crypto_sign_verify_detached(bytes_of(signature_), bytes_of(signed_), signed_.size(), bytes_of(authority->second)) != 0)
    return Error{fmt::format("{}: its signature is not that of the issuer it names, so it was changed or made by somebody else", what_)};
  return {};
}

std::string time_text(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (::gmtime_r(&time, &parts) == nullptr) return "?";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, parts.tm_sec);
}

Result<std::int64_t> read_time(std::string_view text) {
  const auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
  const auto hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (text.size() == 20 && year && month && day && hour && minute && second) {
    std::tm parts{};
    parts.tm_year = *year - 1900;
    parts.tm_mon = *month - 1;
    parts.tm_mday = *day;
    parts.tm_hour = *hour;
    parts.tm_min = *minute;
    parts.tm_sec = *second;
    const std::int64_t out = ::timegm(&parts);
    // What does not exist, such as February 30, comes back as another time; so do wrong separators.
    if (out >= 0 && out <= second_max && time_text(out) == text) return out;
  }
  return Error{"expected a time such as 2026-11-22T13:30:00Z"};
}

Result<std::int64_t> read_duration(std::string_view text) {
  constexpr std::string_view units = "smhdw";
  constexpr std::int64_t seconds[] = {1, 60, 3600, 86400, 7 * 86400};
  const auto unit = text.empty() ? std::string_view::npos : units.find(text.back());
  const auto count = unit == std::string_view::npos ? std::nullopt : read_number(text.substr(0, text.size() - 1));
  if (!count || *count == 0 || *count > static_cast<std::uint64_t>(duration_max / seconds[unit]))
    return Error{"expected a time such as 30d, 12h, 90m, 45s or 2w, at most 100 years"};
  return static_cast<std::int64_t>(*count) * seconds[unit];
}

}  // namespace gorgone::mcollective
