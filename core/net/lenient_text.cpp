#include "core/net/lenient_text.hpp"

#include <algorithm>
#include <string_view>

namespace gorgone::net {
namespace {

constexpr std::string_view end_of_head = "\r\n\r\n";
constexpr std::uint8_t kind_bits = 0x0F, text = 1, binary = 2;
constexpr std::uint8_t length_bits = 0x7F, two_more = 126, eight_more = 127;

}  // namespace

void TextAsBinary::pass(char* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    switch (part_) {
      case Part::http:
        line_ends_ = bytes[i] == end_of_head[line_ends_] ? line_ends_ + 1 : bytes[i] == end_of_head[0] ? 1 : 0;
        if (line_ends_ == end_of_head.size()) part_ = Part::kind;
        break;
      case Part::kind:
        if ((byte & kind_bits) == text) bytes[i] = static_cast<char>((byte & ~kind_bits) | binary);
        part_ = Part::length;
        break;
      case Part::length:
        on_length(byte & length_bits);  // a server masks nothing; Beast refuses one that does
        break;
      case Part::long_length:
        left_ = left_ << 8 | byte;
        if (--length_bytes_ == 0) part_ = left_ > 0 ? Part::payload : Part::kind;
        break;
      case Part::payload: {
        const auto rest = static_cast<std::size_t>(std::min<std::uint64_t>(left_, size - i));
        left_ -= rest;
        i += rest - 1;
        if (left_ == 0) part_ = Part::kind;
        break;
      }
    }
  }
}

void TextAsBinary::on_length(std::uint8_t length) {
  left_ = length < two_more ? length : 0;
  length_bytes_ = length == two_more ? 2 : length == eight_more ? 8 : 0;
  part_ = length_bytes_ > 0 ? Part::long_length : left_ > 0 ? Part::payload : Part::kind;
}

}  // namespace gorgone::net
