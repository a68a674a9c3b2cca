#include "fields.hpp"

namespace gorgone::mcollective {

void put_number(std::string& out, std::uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size(), 4);
  out += text;
}

std::optional<std::uint64_t> take_number(std::string_view& rest, std::size_t bytes) {
  if (rest.size() < bytes) return {};
  std::uint64_t number = 0;
  for (std::size_t i = bytes; i-- > 0;) number = number << 8 | static_cast<unsigned char>(rest[i]);
  rest.remove_prefix(bytes);
  return number;
}

std::optional<std::string_view> take_text(std::string_view& rest) {
  const auto size = take_number(rest, 4);
  if (!size || rest.size() < *size) return {};
  const auto text = rest.substr(0, *size);
  rest.remove_prefix(*size);
  return text;
}

}  // namespace gorgone::mcollective
