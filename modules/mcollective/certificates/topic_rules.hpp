#pragma once
// Which topics a client may use: patterns, and what they match. Pure; any thread.

#include <gorgone/result.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::mcollective {

/// The identity in a connector's routing id, "<identity> <pid> #<Thread…>": all before the first space.
std::string identity_of(std::string_view routing_id);

/// "mcollective * *" matches the topic "mcollective nodes web1": word by word, the words parted by single spaces. `*` is any part of a
/// word and, alone, a word that is not empty; `**` at the end is any number of words. `\` takes the next character as it is.
bool topic_matches(std::string_view pattern, std::string_view topic);

/// The rule `pattern` for one client: `%i` becomes its identity, whatever characters are in it, and `%%` a `%`.
std::string for_identity(std::string_view pattern, std::string_view identity);

/// An Error says what is wrong with a pattern of topics as an operator writes it (before for_identity()).
Result<void> check_pattern(std::string_view pattern);
/// The same for a pattern of identities: one word without `%i`.
Result<void> check_identity_pattern(std::string_view pattern);

using Patterns = std::vector<std::string>;

/// What one source says about topics. A direction of which it says nothing is left to the next source; an empty list allows nothing.
struct TopicPermits {
  std::optional<Patterns> publish, subscribe;
};

/// One entry of the configuration's `topics`.
struct TopicRule {
  std::string clients;  ///< pattern of key names and identities
  TopicPermits topics;
};

/// What one client may do, in words for its identity: `own` (of its certificate or its key's line) decides where it says something, else
/// all `rules` that name the client together. Where there are rules and none names it, it may do nothing; without rules, everything.
struct TopicGrant {
  Patterns publish, subscribe;
};
TopicGrant grant_topics(const TopicPermits& own, const std::vector<TopicRule>& rules, std::string_view client, std::string_view identity);

}  // namespace gorgone::mcollective
