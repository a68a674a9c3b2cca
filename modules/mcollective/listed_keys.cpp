#include "listed_keys.hpp"

#include <fmt/format.h>

#include <optional>

#include "keys.hpp"

namespace gorgone::mcollective {
namespace {

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// The words of a line up to a comment; quotes are for blanks and end with the word.
Result<std::vector<std::string>> words_of(std::string_view line) {
  std::vector<std::string> out;
  std::optional<std::string> word;
  bool is_quoted = false;
  for (const char c : line) {
    const bool is_blank = c == ' ' || c == '\t' || c == '\r';
    if (!word && c == '#') break;
    if (c == '"' && word && (is_quoted || word->ends_with('=') || word->ends_with(','))) {
      is_quoted = !is_quoted;
    } else if (is_blank && !is_quoted) {
      if (word) out.push_back(std::move(*word));
      word.reset();
    } else {
      if (!word) word.emplace();
      *word += c;
    }
  }
  if (is_quoted) return Error{"a double quote is open at its end"};
  if (word) out.push_back(std::move(*word));
  return out;
}

Result<Patterns> patterns_of(std::string_view text) {
  Patterns out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto pattern = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    while (pattern.starts_with(' ')) pattern.remove_prefix(1);
    while (pattern.ends_with(' ')) pattern.remove_suffix(1);
    if (const auto good = check_pattern(pattern); !good) return good.error();
    out.emplace_back(pattern);
  }
  return out;
}

Result<void> take_option(ListedKey& key, std::string_view word) {
  const auto equals = word.find('=');
  const auto name = word.substr(0, equals), value = word.substr(equals + 1);
  if (name == "identity") {
    if (auto good = check_identity_pattern(value); !good) return good;
    key.identity = value;
    return {};
  }
  auto* const topics = name == "allow_publish" ? &key.topics.publish : name == "allow_subscribe" ? &key.topics.subscribe : nullptr;
  if (!topics) return Error{fmt::format("\"{:.40}\": expected identity=, allow_publish= or allow_subscribe=", name)};
  auto patterns = patterns_of(value);
  if (!patterns) return patterns.error();
  if (!*topics) topics->emplace();
  (*topics)->insert((*topics)->end(), patterns->begin(), patterns->end());
  return {};
}

// Nothing for an empty line.
Result<void> read_line(std::string_view line, const std::string& where, const std::string& name, KeyList& list) {
  const auto words = words_of(line);
  if (!words) return words.error();
  if (words->empty()) return {};
  const auto& text = words->front();
  if (const auto bytes = from_z85(text); !bytes) return bytes.error();
  ListedKey key;
  key.name = name;
  key.where = where;
  for (std::size_t at = 1; at < words->size(); ++at) {
    const auto& word = (*words)[at];
    if (word.find('=') == std::string::npos) {
      if (!key.name.empty()) return Error{fmt::format("\"{:.40}\": expected options behind the name \"{}\"", word, key.name)};
      key.name = word;
    } else if (auto taken = take_option(key, word); !taken) {
      return taken;
    }
  }
  const auto [entry, is_new] = list.keys.emplace(text, std::move(key));
  if (!is_new) return Error{fmt::format("the key stands in {} already, and what is said there holds", entry->second.where)};
  return {};
}

}  // namespace

void read_key_list(std::string_view text, const std::string& file, const std::string& name, KeyList& list) {
  for (int number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const auto where = fmt::format("{}:{}", last_part(file), number);
    if (const auto read = read_line(line, where, name, list); !read)
      list.problems.push_back(fmt::format("{}:{}: passed over: {}", file, number, read.error().message));
  }
}

std::string name_of_key_file(std::string_view path) {
  auto name = last_part(path);
  for (const std::string_view suffix : {".pub", ".public", ".key", ".z85", ".txt"})
    if (name.size() > suffix.size() && name.ends_with(suffix)) {
      name.remove_suffix(suffix.size());
      break;
    }
  return std::string(name);
}

}  // namespace gorgone::mcollective
