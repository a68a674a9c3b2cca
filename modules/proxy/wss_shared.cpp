#include "wss_shared.hpp"

namespace gorgone::proxy {
namespace {

using namespace std::chrono_literals;

constexpr auto log_window = 60s;
constexpr std::size_t log_subjects_max = 50;

}  // namespace

WssShared::WssShared(Agent& agent_, WssOptions options_)
    : agent(agent_),
      options(std::move(options_)),
      access(options.token, options.node_tokens),
      tokens(agent_, find_centreon_api(agent_.gorgone_config(), options.api_name, agent_.log())),
      nodes(agent_.loop()) {}

bool WssShared::may_log(const std::string& subject) {
  const auto now = std::chrono::steady_clock::now();
  if (now - window_ > log_window) {
    if (silent_ > 0) agent.log().warning("httpserver: {} more connections were refused in the last minutes", silent_);
    window_ = now;
    told_.clear();
    silent_ = 0;
  }
  if (told_.size() < log_subjects_max && told_.insert(subject).second) return true;
  ++silent_;
  return false;
}

}  // namespace gorgone::proxy
