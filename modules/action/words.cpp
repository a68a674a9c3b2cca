#include "words.hpp"

#include <optional>

namespace gorgone::action {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  std::optional<std::string> word;  // set as soon as a word has begun: '' is a word of its own
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    auto c = line[i];
    if (quote == 0 && is_space(c)) {
      if (word) words.push_back(std::move(*word));
      word.reset();
      continue;
    }
    if (!word) word.emplace();
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'') {
      if (++i == line.size()) return Error{"a backslash at its end takes nothing"};
      word->push_back(line[i]);
    } else {
      word->push_back(c);
    }
  }
  if (quote != 0) return Error{std::string("a quote (") + quote + ") is not closed"};
  if (word) words.push_back(std::move(*word));
  return words;
}

}  // namespace gorgone::action
