#include "reach.hpp"

namespace gorgone::content {

Reach reach_of(const json::value& nodes, std::string_view id) {
  Reach best;
  if (!nodes.is_object()) return best;
  for (const auto& [name, state] : nodes.get_object()) {
    // Deployed daemons tell no link, only how many pings were answered.
    const auto* link = member(state, "link");
    const bool is_up = link ? text_of(link).value_or("") == "up" : integer_of(member(state, "ping_ok")).value_or(0) > 0;
    Reach found;
    if (name == id) {
      found.is_up = is_up;
      found.is_told_by_deployed = !link;
    } else if (const auto* behind = member(state, "nodes")) {
      found = reach_of(*behind, id);
      found.is_up = found.is_up && is_up;
      found.is_behind = true;
    }
    if (found.is_up && (!best.is_up || !found.is_behind)) best = found;
  }
  return best;
}

}  // namespace gorgone::content
