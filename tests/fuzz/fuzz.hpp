#pragma once
// What the fuzz targets share: an input read as operations, and the check of what must hold. One thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gorgone::fuzz {

/// Ends the process where `holds` is false: the fuzzer then keeps the input. `detail` is shown with control characters escaped.
void require(bool holds, const char* what, std::string_view detail = {});

/// Random bytes come from a counter, so that an input does the same each time. Call it first in a target that draws keys or tokens.
void restart_random();

/// Reads an input from its front. At its end everything is 0 or empty.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  explicit Input(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  unsigned byte();
  bool flag() { return byte() % 2 != 0; }
  /// 0 to `count` - 1.
  unsigned below(unsigned count) { return byte() % count; }
  /// Four bytes, the most significant first.
  std::uint32_t number();
  /// Two bytes of length, the most significant first, then the text; less where the input ends before.
  std::string_view text();
  std::string_view rest();

 private:
  std::string_view rest_;
};

/// No byte that would disturb a terminal or a log line.
bool is_one_clean_line(std::string_view text);

}  // namespace gorgone::fuzz
