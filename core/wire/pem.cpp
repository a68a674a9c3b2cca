#include "core/wire/pem.hpp"

#include "core/wire/base64.hpp"

#include <fmt/format.h>

#include <optional>

namespace gorgone::wire {
namespace {

constexpr std::string_view begin_mark = "-----BEGIN ";
constexpr std::string_view end_mark = "-----END ";
constexpr std::string_view dashes = "-----";

/// A peer may have written it, so no more than a label's characters and length reach a message.
std::string printable(std::string_view label) {
  std::string text{label.substr(0, 40)};
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

/// "Proc-Type: 4,ENCRYPTED" and the like, which end with an empty line; returns the base64 after them.
std::string_view without_headers(std::string_view body, bool& encrypted) {
  const auto colon = body.rfind(':');
  if (colon == body.npos) return body;
  encrypted = encrypted || body.find("ENCRYPTED") != body.npos;
  const auto line_end = body.find('\n', colon);
  return line_end == body.npos ? std::string_view{} : body.substr(line_end);
}

}  // namespace

Result<PemBlock> find_pem_key(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == text.npos) return Error{"there is nothing in it"};
  std::optional<std::string> other;
  for (auto begin = text.find(begin_mark); begin != text.npos; begin = text.find(begin_mark)) {
    text.remove_prefix(begin + begin_mark.size());
    const auto label_end = text.find(dashes);
    if (label_end == text.npos) break;
    const auto label = text.substr(0, label_end);
    text.remove_prefix(label_end + dashes.size());
    if (!label.ends_with("KEY")) {
      if (!other) other = printable(label);
      continue;
    }
    const auto end = text.find(end_mark);
    if (end == text.npos) return Error{"its \"-----END …-----\" line is missing, it was cut short"};
    PemBlock block{printable(label), {}, label.find("ENCRYPTED") != label.npos};
    block.der = base64_decode(without_headers(text.substr(0, end), block.encrypted));
    return block;
  }
  if (other) return Error{fmt::format("it holds a {} and no key", *other)};
  return Error{"it has no \"-----BEGIN … KEY-----\" line (PEM text is expected)"};
}

}  // namespace gorgone::wire
