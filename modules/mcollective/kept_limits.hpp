#pragma once
// The option `persistent`: which topics are kept, and how much of each. Immutable once made.

#include <gorgone/config.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::mcollective {

struct KeptLimits {
  std::string pattern;
  std::size_t messages_max = 10000;  ///< of one topic
  std::size_t bytes_max = 0;         ///< of all topics of the pattern
  std::chrono::seconds age_max{};
};

/// The entries in their order; the first whose pattern matches a topic is the one that counts.
std::vector<KeptLimits> kept_limits(const Settings& settings);
/// Nothing: an ordinary topic.
const KeptLimits* limits_of(const std::vector<KeptLimits>& all, std::string_view topic);

}  // namespace gorgone::mcollective
