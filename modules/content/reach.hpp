#pragma once
// What CONSTATUS tells of the way to a node. Pure.

#include <gorgone/json.hpp>

#include <string_view>

namespace gorgone::content {

struct Reach {
  bool is_up = false;                ///< it has answered, and so do all that lead to it
  bool is_behind = false;            ///< others lead to it: what is told of it is as old as their last pong
  bool is_told_by_deployed = false;  ///< by the state that a deployed daemon tells of it, which knows nothing of what it can do
};
/// By the best way to the node; `nodes` is CONSTATUS's map of node id → state.
Reach reach_of(const json::value& nodes, std::string_view id);

}  // namespace gorgone::content
