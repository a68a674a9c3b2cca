#pragma once
// `authorized_keys`: keys with their names and what each may do. Texts in, no files; any thread.
//
// A file has one key a line: `<40 characters of Z85> [NAME] [identity=PATTERN] [allow_publish=PATTERN[,…]] [allow_subscribe=PATTERN[,…]]`,
// where a value with spaces stands in double quotes. A line that begins with `#` is a comment, and so is the rest of a line behind a word
// that begins with `#`: no key can, for a group of Z85 with `#` or `$` first would be more than 32 bits.

#include <gorgone/result.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "topic_rules.hpp"

namespace gorgone::mcollective {

struct ListedKey {
  std::string name;            ///< may be empty
  std::string identity = "*";  ///< pattern of the identities it may have
  TopicPermits topics;
  std::string where;  ///< "authorized_keys:3"
};

struct KeyList {
  std::map<std::string, ListedKey, std::less<>> keys;  ///< by the key in Z85
  std::vector<std::string> problems;                   ///< lines that were passed over, with file and line
};

/// Adds the keys of a text to `list`. `name`: of a file with one key (name_of_key_file()), whose line then has none; else empty.
/// A key that is there already keeps its first line.
void read_key_list(std::string_view text, const std::string& file, const std::string& name, KeyList& list);

/// "web1.example.com" of ".../web1.example.com.pub": the file's name without .pub, .public, .key, .z85 or .txt.
std::string name_of_key_file(std::string_view path);

}  // namespace gorgone::mcollective
