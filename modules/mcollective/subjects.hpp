#pragma once
// Topics as NATS subjects and back. A topic may hold any byte, a subject may not: the words of a topic become tokens, and what is neither
// letter, digit nor "-_" in a word becomes "=" and two hex digits. "mcollective nodes web1.example.org" is
// "mcollective.nodes.web1=2Eexample=2Eorg", an empty word a lone "=". Pure functions.

#include <optional>
#include <string>
#include <string_view>

namespace gorgone::mcollective {

std::string subject_of(std::string_view topic);
/// Nothing where no topic has this subject.
std::optional<std::string> topic_of(std::string_view subject);
/// A pattern of topics as the name of a stream: spaces become "_", other bytes as above.
std::string stream_name_of(std::string_view prefix, std::string_view pattern);

/// NATS takes lines of 4,096 bytes; a subject must leave room in them for more.
inline constexpr std::size_t subject_bytes_max = 2048;

}  // namespace gorgone::mcollective
