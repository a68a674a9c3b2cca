#include <gorgone/log.hpp>

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace gorgone::fuzz {
namespace {

std::uint64_t drawn = 0;

int draw(unsigned char* out, int count) {
  for (int i = 0; i < count; ++i) {
    drawn = drawn * 6364136223846793005U + 1442695040888963407U;
    out[i] = static_cast<unsigned char>(drawn >> 56);
  }
  return 1;
}

}  // namespace

void require(bool holds, const char* what, std::string_view detail) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s%s%s\n", what, detail.empty() ? "" : ": ", printable(detail, 2000).c_str());
  std::abort();
}

void restart_random() { drawn = 1; }

unsigned Input::byte() {
  if (rest_.empty()) return 0;
  const auto first = static_cast<unsigned char>(rest_.front());
  rest_.remove_prefix(1);
  return first;
}

std::uint32_t Input::number() {
  std::uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | byte();
  return number;
}

std::string_view Input::text() {
  const std::size_t high = byte(), low = byte();
  const auto size = std::min(high << 8 | low, rest_.size());
  const auto text = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return text;
}

std::string_view Input::rest() {
  const auto text = rest_;
  rest_ = {};
  return text;
}

bool is_one_clean_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; });
}

}  // namespace gorgone::fuzz

// In place of OpenSSL's, for our own calls; what the library draws for itself stays random.
extern "C" int RAND_bytes(unsigned char* out, int count) { return gorgone::fuzz::draw(out, count); }
extern "C" int RAND_priv_bytes(unsigned char* out, int count) { return gorgone::fuzz::draw(out, count); }
