#pragma once
// A Perl expression to compare a parser with. Gives up where the expression would take too long, as those of deployed daemons can.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tests/fuzz/fuzz.hpp"

#include <vector>

namespace gorgone::fuzz {

class Pattern {
 public:
  static constexpr unsigned dot_takes_all = PCRE2_DOTALL;

  struct Found {
    bool found = false, gave_up = false;
    std::vector<std::string_view> parts;  ///< the whole first
  };

  explicit Pattern(const char* expression, unsigned options = 0) {
    int error = 0;
    std::size_t at = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression), PCRE2_ZERO_TERMINATED, options, &error, &at, nullptr);
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
    limits_ = pcre2_match_context_create(nullptr);
    pcre2_set_match_limit(limits_, 20000);
  }
  ~Pattern() {
    pcre2_match_context_free(limits_);
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  Found find(std::string_view text) const {
    Found result;
    const int count = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, match_, limits_);
    result.found = count > 0;
    result.gave_up = count < 0 && count != PCRE2_ERROR_NOMATCH;
    const auto* ends = pcre2_get_ovector_pointer(match_);
    for (int i = 0; i < count; ++i) result.parts.push_back(text.substr(ends[2 * i], ends[2 * i + 1] - ends[2 * i]));
    return result;
  }

 private:
  pcre2_code* code_ = nullptr;
  pcre2_match_data* match_ = nullptr;
  pcre2_match_context* limits_ = nullptr;
};

}  // namespace gorgone::fuzz
