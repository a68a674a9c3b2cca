#include "subjects.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::string_view digits = "0123456789ABCDEF";

bool is_plain(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

void append_escaped(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += '=';
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

std::optional<std::string> word_of(std::string_view token) {
  if (token.empty()) return {};
  if (token == "=") return std::string();
  std::string word;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (is_plain(token[i])) {
      word += token[i];
      continue;
    }
    if (token[i] != '=' || i + 2 >= token.size()) return {};
    const auto high = digits.find(token[i + 1]), low = digits.find(token[i + 2]);
    if (high == std::string_view::npos || low == std::string_view::npos) return {};
    const char c = static_cast<char>(high << 4 | low);
    if (is_plain(c) || c == ' ') return {};  // a topic has one subject
    word += c;
    i += 2;
  }
  return word;
}

}  // namespace

std::string subject_of(std::string_view topic) {
  std::string subject;
  subject.reserve(topic.size() + 16);
  bool is_empty_word = true;
  const auto end_word = [&] {
    if (is_empty_word) subject += '=';
    is_empty_word = true;
  };
  for (const char c : topic) {
    if (c == ' ') {
      end_word();
      subject += '.';
      continue;
    }
    is_empty_word = false;
    if (is_plain(c))
      subject += c;
    else
      append_escaped(subject, c);
  }
  end_word();
  return subject;
}

std::optional<std::string> topic_of(std::string_view subject) {
  std::string topic;
  for (;;) {
    const auto dot = subject.find('.');
    auto word = word_of(subject.substr(0, dot));
    if (!word) return {};
    topic += *word;
    if (dot == std::string_view::npos) return topic;
    topic += ' ';
    subject.remove_prefix(dot + 1);
  }
}

std::string stream_name_of(std::string_view prefix, std::string_view pattern) {
  std::string name;
  for (const char c : prefix) {
    if (is_plain(c))
      name += c;
    else
      append_escaped(name, c);
  }
  name += '_';
  for (const char c : pattern) {
    if (c == ' ')
      name += '_';
    else if (is_plain(c) && c != '_')
      name += c;
    else
      append_escaped(name, c);
  }
  return name;
}

}  // namespace gorgone::mcollective
