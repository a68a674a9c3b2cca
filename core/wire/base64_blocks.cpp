#include "core/wire/base64_blocks.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gorgone {

#if defined(__x86_64__)
namespace {

constexpr std::size_t block_bytes = 12, block_letters = 16;

#define GORGONE_SSSE3 __attribute__((target("ssse3")))

bool has_ssse3() {
  static const bool has = __builtin_cpu_supports("ssse3") != 0;
  return has;
}

GORGONE_SSSE3 __m128i all(char value) { return _mm_set1_epi8(value); }

GORGONE_SSSE3 __m128i load(const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
GORGONE_SSSE3 void store(char* to, __m128i value) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value); }

/// `amount` where a letter lies between `first` and `last`, both among them.
GORGONE_SSSE3 __m128i between(__m128i letters, char first, char last, __m128i& known, char amount) {
  const __m128i is_in =
      _mm_and_si128(_mm_cmpgt_epi8(letters, all(static_cast<char>(first - 1))), _mm_cmpgt_epi8(all(static_cast<char>(last + 1)), letters));
  known = _mm_or_si128(known, is_in);
  return _mm_and_si128(is_in, all(amount));
}

GORGONE_SSSE3 std::size_t encode(std::string_view bytes, char* out) {
  // Three bytes b0 b1 b2 as the words b0b1 and b1b2, from which multiplications shift the four numbers into place.
  const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  std::size_t at = 0;
  for (; at + block_letters <= bytes.size(); at += block_bytes, out += block_letters) {
    const __m128i words = _mm_shuffle_epi8(load(bytes.data() + at), spread);
    const __m128i even = _mm_mulhi_epu16(_mm_and_si128(words, _mm_set1_epi32(0x0FC0FC00)), _mm_set1_epi32(0x04000040));
    const __m128i odd = _mm_mullo_epi16(_mm_and_si128(words, _mm_set1_epi32(0x003F03F0)), _mm_set1_epi32(0x01000010));
    const __m128i numbers = _mm_or_si128(even, odd);
    // From a number to its letter: what is added changes at 26, 52, 62 and 63.
    __m128i added = all('A');
    added = _mm_add_epi8(added, _mm_and_si128(_mm_cmpgt_epi8(numbers, all(25)), all('a' - 26 - 'A')));
    added = _mm_add_epi8(added, _mm_and_si128(_mm_cmpgt_epi8(numbers, all(51)), all('0' - 52 - ('a' - 26))));
    added = _mm_add_epi8(added, _mm_and_si128(_mm_cmpgt_epi8(numbers, all(61)), all('+' - 62 - ('0' - 52))));
    added = _mm_add_epi8(added, _mm_and_si128(_mm_cmpgt_epi8(numbers, all(62)), all('/' - 63 - ('+' - 62))));
    store(out, _mm_add_epi8(numbers, added));
  }
  return at;
}

GORGONE_SSSE3 std::size_t decode(std::string_view text, char* out) {
  constexpr std::size_t room = 8;
  const __m128i gather = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  std::size_t at = 0;
  for (; at + block_letters + room <= text.size(); at += block_letters, out += block_bytes) {
    const __m128i letters = load(text.data() + at);
    __m128i known = _mm_setzero_si128();
    __m128i added = between(letters, 'A', 'Z', known, -'A');
    added = _mm_or_si128(added, between(letters, 'a', 'z', known, 26 - 'a'));
    added = _mm_or_si128(added, between(letters, '0', '9', known, 52 - '0'));
    added = _mm_or_si128(added, between(letters, '+', '+', known, 62 - '+'));
    added = _mm_or_si128(added, between(letters, '/', '/', known, 63 - '/'));
    if (_mm_movemask_epi8(known) != 0xFFFF) break;
    const __m128i numbers = _mm_add_epi8(letters, added);
    // Two numbers of 6 bits to one of 12, two of those to one of 24, whose bytes are then put in order.
    const __m128i pairs = _mm_maddubs_epi16(numbers, _mm_set1_epi32(0x01400140));
    store(out, _mm_shuffle_epi8(_mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000)), gather));
  }
  return at;
}

}  // namespace

std::size_t encode_blocks(std::string_view bytes, char* out) { return has_ssse3() ? encode(bytes, out) : 0; }
std::size_t decode_blocks(std::string_view text, char* out) { return has_ssse3() ? decode(text, out) : 0; }

#else

std::size_t encode_blocks(std::string_view, char*) { return 0; }
std::size_t decode_blocks(std::string_view, char*) { return 0; }

#endif

}  // namespace gorgone
