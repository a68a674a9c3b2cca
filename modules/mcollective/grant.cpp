#include <algorithm>

#include "access.hpp"

namespace gorgone::mcollective {
namespace {

bool allows_topic(const Patterns& patterns, std::string_view topic) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) { return topic_matches(pattern, topic); });
}

}  // namespace

bool Grant::may_publish(std::string_view topic) const { return allows_topic(publish, topic); }
bool Grant::may_subscribe(std::string_view topic) const { return allows_topic(subscribe, topic); }

}  // namespace gorgone::mcollective
