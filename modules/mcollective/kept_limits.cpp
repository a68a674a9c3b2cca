#include "kept_limits.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "access.hpp"
#include "kept_queues.hpp"

namespace gorgone::mcollective {

Schema kept_schema() {
  return {
      {"persistent[].topic", OptionType::text, "",
       "topics that are kept until the subscriber that owns them has taken what was sent: a pattern as in the topic rules, such as "
       "`mcollective reply **`; the first entry that matches counts"},
      Option{"persistent[].messages_max", OptionType::integer, "10000", "messages kept of one topic; a PUT beyond it is answered ERROR"}
          .range(1, 10'000'000)
          .in("messages"),
      Option{"persistent[].bytes_max", OptionType::integer, "268435456",
             "bytes kept of all topics of the entry; a PUT beyond it is answered ERROR"}
          .range(1 << 16, 1e12)
          .in("bytes"),
      Option{"persistent[].age_max_s", OptionType::integer, "604800",
             "what is older is dropped: out of the journal counted and told in the log, out of a stream of a backbone by the NATS servers, "
             "without a word"}
          .range(1, 31'536'000)
          .in("seconds"),
  };
}

std::vector<Problem> check_kept(const Settings& settings) {
  std::vector<Problem> problems;
  std::vector<std::string> seen;
  for (const auto& item : settings.items("persistent")) {
    const auto pattern = item.text("topic");
    const auto where = item.where("topic").text();
    if (pattern.empty())
      problems.push_back({Problem::Severity::error,
                          "modules.mcollective.persistent: an entry without `topic`, expected a pattern of topics such as "
                          "\"mcollective reply **\""});
    else if (std::ranges::find(seen, pattern) != seen.end())
      problems.push_back(
          {Problem::Severity::error, fmt::format("modules.mcollective.persistent: got \"{}\" twice{}, expected each topic once", pattern,
                                                 where.empty() ? "" : " (" + where + ")")});
    else if (const auto checked = check_pattern(pattern); !checked)
      problems.push_back({Problem::Severity::error, fmt::format("modules.mcollective.persistent: {}{}", checked.error().message,
                                                                where.empty() ? "" : " (" + where + ")")});
    seen.push_back(pattern);
  }
  return problems;
}

std::vector<KeptLimits> kept_limits(const Settings& settings) {
  std::vector<KeptLimits> all;
  for (const auto& item : settings.items("persistent")) {
    KeptLimits limits;
    limits.pattern = item.text("topic");
    limits.messages_max = static_cast<std::size_t>(item.integer("messages_max"));
    limits.bytes_max = static_cast<std::size_t>(item.integer("bytes_max"));
    limits.age_max = std::chrono::seconds(item.integer("age_max_s"));
    all.push_back(std::move(limits));
  }
  return all;
}

const KeptLimits* limits_of(const std::vector<KeptLimits>& all, std::string_view topic) {
  const auto found = std::ranges::find_if(all, [topic](const KeptLimits& limits) { return topic_matches(limits.pattern, topic); });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace gorgone::mcollective
