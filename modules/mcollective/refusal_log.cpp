#include "refusal_log.hpp"

namespace gorgone::mcollective {
namespace {

constexpr auto pause = std::chrono::minutes(1);
constexpr std::size_t hosts_max = 1000;

}  // namespace

void RefusalLog::note(const std::string& host, const std::string& peer, const std::string& why, Clock::time_point now) {
  if (hosts_.size() >= hosts_max && !hosts_.contains(host))
    std::erase_if(hosts_, [now](const auto& known) { return now - known.second.written >= pause; });
  // Where there are too many, the rest share one line.
  const auto& name = hosts_.size() < hosts_max || hosts_.contains(host) ? host : std::string();
  const auto found = hosts_.find(name);
  if (found != hosts_.end() && now - found->second.written < pause) {
    ++found->second.unwritten;
    return;
  }
  const auto unwritten = found == hosts_.end() ? 0 : found->second.unwritten;
  hosts_[name] = Entry{now, 0};
  if (unwritten > 0)
    log_.warning("{} is not let in: {} ({} more from {} were not written)", peer, why, unwritten, name.empty() ? "other addresses" : name);
  else
    log_.warning("{} is not let in: {}", peer, why);
}

}  // namespace gorgone::mcollective
