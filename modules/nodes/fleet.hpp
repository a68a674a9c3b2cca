#pragma once
// What Centreon's database says of the fleet, and what changed since it was last asked. Pure.

#include <gorgone/database.hpp>

#include <map>
#include <string>
#include <vector>

namespace gorgone::nodes {

/// The columns that are read of nagios_server; those of `present` that are known. An Error where one is missing without which nothing
/// works.
Result<std::vector<std::string>> columns_of(const std::vector<std::string>& present);

struct Fleet {
  std::string own_id;                         ///< of the server that is this one; empty where none is
  std::map<std::string, json::object> nodes;  ///< id → entry of REGISTERNODES, with the nodes behind it
  std::size_t subnodes = 0;                   ///< nodes that are reached through another one and by themselves not
  std::vector<std::string> left_out;          ///< nodes that cannot be reached, and why
};

/// `servers`: active rows of nagios_server; `relations`: remote_server_id and poller_server_id.
Fleet read_fleet(const DatabaseTable& servers, const DatabaseTable& relations);

/// What to tell the proxy that knows `before`.
struct Difference {
  json::array changed;  ///< new ones too
  json::array gone;     ///< {"id"}
  std::size_t added = 0;
};
Difference difference(const std::map<std::string, json::object>& before, const std::map<std::string, json::object>& now);

}  // namespace gorgone::nodes
