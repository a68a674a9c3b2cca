#include "stream_names.hpp"

#include <algorithm>

namespace gorgone::mcollective {
namespace {

// Within it a repeated message is stored once.
constexpr auto repeats_known_for = std::chrono::minutes(10);

constexpr std::int64_t owners_bytes_max = std::int64_t{64} << 20;

std::int64_t nanoseconds(std::chrono::nanoseconds time) { return time.count(); }

json::object configuration(const std::string& name, const std::string& subjects, std::chrono::seconds age_max, int replicas) {
  json::object made;
  made["name"] = name;
  made["subjects"] = json::array{json::value(subjects)};
  made["retention"] = "limits";
  made["storage"] = "file";
  made["num_replicas"] = replicas;
  made["max_age"] = nanoseconds(age_max);
  made["max_msgs"] = -1;
  made["max_bytes"] = -1;
  made["max_consumers"] = -1;
  made["max_msg_size"] = -1;
  made["duplicate_window"] = nanoseconds(std::min<std::chrono::seconds>(repeats_known_for, age_max));
  made["allow_direct"] = true;
  return made;
}

}  // namespace

std::vector<json::object> StreamNames::configurations() const {
  std::vector<json::object> all;
  std::chrono::seconds longest{1};
  for (const auto& limits : limits_) {
    auto made = configuration(stream(limits), prefix_ + ".queue." + stream(limits) + ".>", limits.age_max, replicas_);
    made["discard"] = "new";
    made["discard_new_per_subject"] = true;
    made["max_msgs_per_subject"] = limits.messages_max;
    made["max_bytes"] = limits.bytes_max;
    all.push_back(std::move(made));
    longest = std::max(longest, limits.age_max);
  }
  if (all.empty()) return all;
  auto made = configuration(owners(), prefix_ + ".owner.>", longest, replicas_);
  // Whoever may subscribe can make records. Of too many the oldest go: those here are renewed.
  made["discard"] = "old";
  made["max_msgs_per_subject"] = 1;
  made["max_bytes"] = owners_bytes_max;
  all.push_back(std::move(made));
  return all;
}

}  // namespace gorgone::mcollective
