#include "bulk.hpp"

#include <algorithm>

namespace gorgone::proxy {
namespace {

constexpr std::string_view mark = "-try-";
constexpr std::size_t digits = 8;
// The receiver names a file after the token.
constexpr std::size_t job_token_max = 160;

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

bool is_content_piece(std::string_view action) {
  return action.starts_with("CONTENT") && action != "CONTENTPUSH" && action != "CONTENTROLLBACK" && action != "CONTENTSTATUS";
}

std::string token_of_try(const std::string& job_token) {
  const auto random = new_token();
  const auto name = job_token.size() <= job_token_max ? job_token : random.substr(digits, 32);
  return name + std::string(mark) + random.substr(0, digits);
}

bool is_token_of_try(std::string_view token) {
  if (token.size() <= mark.size() + digits) return false;
  const auto end = token.substr(token.size() - digits);
  return token.substr(token.size() - digits - mark.size(), mark.size()) == mark && std::all_of(end.begin(), end.end(), is_hex);
}

}  // namespace gorgone::proxy
