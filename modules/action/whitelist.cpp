#include "whitelist.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>

namespace gorgone::action {
namespace {

// An expression that backtracks without end must not hold up the loop: this is about 10 ms.
constexpr std::uint32_t steps_max = 200'000;
constexpr std::uint32_t heap_max_kib = 8192;

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, Free>;

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string error_text(int error) {
  std::array<PCRE2_UCHAR, 200> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct Whitelist::Expressions {
  std::vector<Code> codes;
  std::unique_ptr<pcre2_match_data, Free> match{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Free> limits{pcre2_match_context_create(nullptr)};
};

Whitelist::Whitelist() = default;
Whitelist::Whitelist(Whitelist&&) noexcept = default;
Whitelist& Whitelist::operator=(Whitelist&&) noexcept = default;
Whitelist::~Whitelist() = default;

Result<Whitelist> Whitelist::of(const std::vector<std::string>& expressions) {
  Whitelist whitelist;
  whitelist.expressions_ = std::make_unique<Expressions>();
  pcre2_set_match_limit(whitelist.expressions_->limits.get(), steps_max);
  pcre2_set_heap_limit(whitelist.expressions_->limits.get(), heap_max_kib);
  for (const auto& expression : expressions) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    Code code(pcre2_compile(units(expression), expression.size(), PCRE2_UTF, &error, &offset, nullptr));
    if (!code)
      return Error{fmt::format("\"{}\" is no Perl-compatible expression: {} at character {}", expression, error_text(error), offset)};
    whitelist.expressions_->codes.push_back(std::move(code));
  }
  return whitelist;
}

bool Whitelist::allows(std::string_view command) const {
  if (!expressions_) return true;
  auto matches = [&](const Code& code) {
    return pcre2_match(code.get(), units(command), command.size(), 0, 0, expressions_->match.get(), expressions_->limits.get()) >= 0;
  };
  return std::any_of(expressions_->codes.begin(), expressions_->codes.end(), matches);
}

}  // namespace gorgone::action
