#pragma once
// The data of REGISTERNODES and UNREGISTERNODES (docs/protocol.md, Nodes that dial). Pure.

#include <gorgone/link.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "paths.hpp"

namespace gorgone::proxy {

struct Registration {
  NodeSpec spec;
  std::map<std::string, std::int64_t> subnodes;  ///< id → pathscore
};

/// `{"nodes":[{id, type, address, port, …, nodes:[{id, pathscore}]}]}`; ids and ports as numbers or text.
Result<std::vector<Registration>> read_registration(const json::value& data);
/// One of them.
Result<Registration> read_node(const json::value& node);
/// Its `prevail`.
bool is_prevailing(const json::object& node);
/// The list itself.
Result<const json::array*> nodes_of(const json::value& data);
/// The ids in the `nodes` that a PONG tells of, those behind them too, at any number of hops.
std::set<std::string> nodes_behind(const json::value& nodes);
/// True where a node among them is told to have a feature.
bool has_feature_behind(const json::value& nodes, std::string_view id, std::string_view feature);

/// What a node says of its own nodes (PONG, REGISTERNODES, UNREGISTERNODES): they are reached through it. True where one may be reached
/// another way now.
bool learn(Paths& paths, const std::string& node, const Message& message);

/// `{"nodes":[{id}]}`.
Result<std::vector<std::string>> read_ids(const json::value& data);

}  // namespace gorgone::proxy
