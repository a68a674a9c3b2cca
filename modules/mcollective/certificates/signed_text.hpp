#pragma once
// Lines "name: value" with a signature of all of them at the end; times and numbers in them. Pure; any thread.

#include <gorgone/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "certificate.hpp"
#include "keys.hpp"

namespace gorgone::mcollective {

inline unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
inline const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string to_hex(std::string_view bytes);
/// Nothing where the text is not that of `size` bytes.
std::optional<std::string> from_hex(std::string_view text, std::size_t size);
/// Digits and nothing else.
std::optional<std::uint64_t> read_number(std::string_view text);

void append_signature(std::string& text, std::string_view secret_key);

class SignedLines {
 public:
  /// An Error where the first line is not `head` or no signature ends it. White space behind the signature is not looked at.
  static Result<SignedLines> split(std::string_view text, std::string_view head, std::size_t bytes_max, const char* what);

  bool next_is(std::string_view name) const;
  /// The value of the next line, which must have this name.
  Result<std::string_view> take(std::string_view name);
  /// An Error about the line that was taken last.
  Error wrong(std::string_view why) const;
  /// An Error where a line is left.
  Result<void> end() const;
  /// end(), and that the issuer is one of `authorities` and has signed it.
  Result<void> verify(std::string_view issuer, const Authorities& authorities) const;

 private:
  std::string_view signed_;  ///< the bytes before the signature's line
  std::string signature_;
  std::vector<std::string_view> lines_;
  std::size_t next_ = 1;  ///< the first is the head
  const char* what_ = "";
};

}  // namespace gorgone::mcollective
