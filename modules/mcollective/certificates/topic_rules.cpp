#include "topic_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::mcollective {
namespace {

constexpr std::size_t pattern_bytes_max = 1024;

// The words of a text one after the other; an empty text has one empty word.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}
  bool is_over() const { return !rest_; }
  std::string_view next() {
    const auto space = rest_->find(' ');
    const auto word = rest_->substr(0, space);
    if (space == std::string_view::npos)
      rest_.reset();
    else
      rest_->remove_prefix(space + 1);
    return word;
  }

 private:
  std::optional<std::string_view> rest_;
};

// One place to come back to is enough: what a later `*` takes, an earlier one need not.
bool word_matches(std::string_view pattern, std::string_view word) {
  if (pattern == "*") return !word.empty();
  std::size_t at = 0, in_word = 0, after_star = std::string_view::npos, star_ends = 0;
  while (in_word < word.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      after_star = ++at;
      star_ends = in_word;
      continue;
    }
    const std::size_t escape = at + 1 < pattern.size() && pattern[at] == '\\' ? 1 : 0;
    if (at < pattern.size() && pattern[at + escape] == word[in_word]) {
      at += 1 + escape;
      ++in_word;
    } else if (after_star != std::string_view::npos) {
      at = after_star;
      in_word = ++star_ends;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

Error wrong(std::string_view pattern, std::string_view expected) {
  std::string shown(pattern.substr(0, 80));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; }, '?');
  return Error{fmt::format("pattern \"{}\": expected {}", shown, expected)};
}

Result<void> check_characters(std::string_view pattern) {
  if (pattern.empty()) return wrong(pattern, "words such as \"mcollective reply **\", not an empty text");
  if (pattern.size() > pattern_bytes_max) return wrong(pattern, fmt::format("at most {} bytes", pattern_bytes_max));
  for (const char c : pattern)
    if (static_cast<unsigned char>(c) < ' ' || c == 127) return wrong(pattern, "no control characters");
  return {};
}

void add(std::optional<Patterns>& all, const std::optional<Patterns>& more) {
  if (!more) return;
  if (!all) all.emplace();
  all->insert(all->end(), more->begin(), more->end());
}

}  // namespace

std::string identity_of(std::string_view routing_id) { return std::string(routing_id.substr(0, routing_id.find(' '))); }

bool topic_matches(std::string_view pattern, std::string_view topic) {
  Words patterns(pattern), words(topic);
  while (!patterns.is_over()) {
    const auto expected = patterns.next();
    if (expected == "**" && patterns.is_over()) return true;
    if (words.is_over() || !word_matches(expected, words.next())) return false;
  }
  return words.is_over();
}

std::string for_identity(std::string_view pattern, std::string_view identity) {
  std::string out;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] != '%' || at + 1 == pattern.size()) {
      out += pattern[at];
      continue;
    }
    if (pattern[++at] == '%') {
      out += '%';
      continue;
    }
    // A client that calls itself "*" is not all clients.
    for (const char c : identity) {
      if (c == '*' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

Result<void> check_pattern(std::string_view pattern) {
  if (auto good = check_characters(pattern); !good) return good;
  for (Words words(pattern); !words.is_over();) {
    const auto word = words.next();
    if (word.empty()) return wrong(pattern, "single spaces between the words, and none before or behind them");
    if (word == "**" && !words.is_over()) return wrong(pattern, "** as the last word only");
    if (word != "**" && word.find("**") != std::string_view::npos) return wrong(pattern, "** as a word of its own, at the end");
    for (std::size_t at = 0; at < word.size(); ++at) {
      if (word[at] == '%' && (at + 1 == word.size() || (word[at + 1] != 'i' && word[at + 1] != '%')))
        return wrong(pattern, "%i (the client's identity) or %% wherever a % stands");
      if (word[at] == '\\' && at + 1 == word.size()) return wrong(pattern, "a character behind each \\");
      if (word[at] == '%' || word[at] == '\\') ++at;
    }
  }
  return {};
}

Result<void> check_identity_pattern(std::string_view pattern) {
  if (auto good = check_characters(pattern); !good) return good;
  if (pattern.find(' ') != std::string_view::npos || pattern.find("**") != std::string_view::npos)
    return wrong(pattern, "one word such as web*.example.com");
  if (pattern.find_last_not_of('\\') + 1 < pattern.size() && (pattern.size() - pattern.find_last_not_of('\\') - 1) % 2 == 1)
    return wrong(pattern, "a character behind each \\");
  return {};
}

TopicGrant grant_topics(const TopicPermits& own, const std::vector<TopicRule>& rules, std::string_view client, std::string_view identity) {
  bool is_named = rules.empty();
  TopicPermits common;
  for (const auto& rule : rules) {
    if (!topic_matches(rule.clients, client)) continue;
    is_named = true;
    add(common.publish, rule.topics.publish);
    add(common.subscribe, rule.topics.subscribe);
  }
  const Patterns otherwise = is_named ? Patterns{"**"} : Patterns{};
  auto words_for = [&](const std::optional<Patterns>& mine, const std::optional<Patterns>& of_all) {
    Patterns out;
    for (const auto& pattern : mine ? *mine : of_all ? *of_all : otherwise) out.push_back(for_identity(pattern, identity));
    return out;
  };
  return {words_for(own.publish, common.publish), words_for(own.subscribe, common.subscribe)};
}

}  // namespace gorgone::mcollective
