#pragma once
// What persistent topics are called in NATS. Immutable once made.
//
//   stream  PREFIX_<pattern>     subjects PREFIX.queue.<stream>.<topic>   one for each entry of `persistent`
//   stream  PREFIX-owners        subjects PREFIX.owner.<topic>            who owns the queue: "<claim> <identity>[ <key>]", one record of
//   each topic
//                                         PREFIX.news.<topic>             "m" a message has been stored, "o" the owner has changed

#include <gorgone/json.hpp>

#include <string>
#include <vector>

#include "kept_limits.hpp"
#include "subjects.hpp"

namespace gorgone::mcollective {

class StreamNames {
 public:
  StreamNames(std::string prefix, const std::vector<KeptLimits>& limits, int replicas)
      : prefix_(std::move(prefix)), limits_(limits), replicas_(replicas) {}

  std::string owners() const { return prefix_ + "-owners"; }
  std::string stream(const KeptLimits& limits) const { return stream_name_of(prefix_, limits.pattern); }
  /// Of a persistent topic.
  std::string stream(const std::string& topic) const {
    const auto* limits = limits_of(limits_, topic);
    return limits ? stream(*limits) : std::string();
  }
  const KeptLimits* limits(const std::string& topic) const { return limits_of(limits_, topic); }
  std::string subject(const std::string& topic) const { return prefix_ + ".queue." + stream(topic) + '.' + subject_of(topic); }
  std::string owner(const std::string& topic) const { return prefix_ + ".owner." + subject_of(topic); }
  std::string news(const std::string& topic) const { return prefix_ + ".news." + subject_of(topic); }

  /// False where its subjects are longer than a subject may be: that in its stream is the longest.
  bool can_name(const std::string& topic) const { return subject(topic).size() <= subject_bytes_max; }

  /// The configurations of all streams, for JetStream::ensure().
  std::vector<json::object> configurations() const;

 private:
  std::string prefix_;
  const std::vector<KeptLimits>& limits_;
  int replicas_;
};

}  // namespace gorgone::mcollective
