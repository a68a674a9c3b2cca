#include "fleet.hpp"

#include <gorgone/log.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace gorgone::nodes {
namespace {

constexpr std::int64_t score_of_remote = 1, score_of_relation = 100;
constexpr std::string_view port_standard = "5556";

// A row by the names of its columns; what the database does not have is as NULL.
class Server {
 public:
  Server(const DatabaseTable& table, const DatabaseTable::Row& row) : table_(table), row_(row) {}
  std::string operator[](std::string_view name) const {
    const auto at = table_.column(name);
    return at ? row_[*at].value_or("") : "";
  }
  std::string id() const { return (*this)["id"]; }
  std::string named() const {
    const auto name = (*this)["name"];
    return name.empty() ? "node " + id() : fmt::format("node {} ({})", id(), printable(name));
  }
  bool is_this_one() const { return (*this)["localhost"] == "1"; }
  // The remote through which it is reached, empty where it is reached by itself.
  std::string remote() const { return (*this)["remote_server_use_as_proxy"] == "0" ? "" : (*this)["remote_id"]; }

 private:
  const DatabaseTable& table_;
  const DatabaseTable::Row& row_;
};

// gorgone_communication_type; empty where it is none of ours.
std::string type_named(const std::string& number) {
  if (number.empty() || number == "1") return "push_zmq";
  if (number == "2") return "push_ssh";
  if (number == "3") return "pull";
  if (number == "4") return "pullwss";
  return {};
}

Result<json::object> entry_of(const Server& server) {
  const auto type = type_named(server["gorgone_communication_type"]);
  if (type.empty())
    return Error{fmt::format("gorgone_communication_type is \"{}\", expected 1 to 4", printable(server["gorgone_communication_type"]))};
  const auto address = server["ns_ip_address"];
  const bool dials_us = type == "pull" || type == "pullwss";
  if (address.empty() && !dials_us) return Error{"it has no address (ns_ip_address)"};
  auto port = server["gorgone_port"];
  if (port.empty() || port == "0") port = port_standard;
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 1 || number > 65535)
    return Error{fmt::format("gorgone_port is {}, expected 1 to 65535", printable(port))};
  json::object entry{{"id", server.id()}, {"type", type}, {"address", address}, {"port", number}};
  if (const auto uid = server["uid"]; !uid.empty()) entry["uid"] = uid;
  return entry;
}

std::string central_of(const DatabaseTable& servers) {
  for (const auto& row : servers.rows)
    if (const Server server(servers, row); server["ns_activate"] == "1" && server.is_this_one()) return server.id();
  return {};
}

// The node of its own through which `id` is reached: remotes may stand behind remotes.
std::string first_hop(const std::map<std::string, std::string>& remotes, const std::string& id) {
  std::set<std::string> seen;
  std::string at = id;
  while (seen.insert(at).second) {
    const auto above = remotes.find(at);
    if (above == remotes.end()) return at;
    at = above->second;
  }
  return {};  // a circle
}

}  // namespace

Result<std::vector<std::string>> columns_of(const std::vector<std::string>& present) {
  std::vector<std::string> columns;
  const auto has = [&present](std::string_view name) { return std::find(present.begin(), present.end(), name) != present.end(); };
  for (const auto* name : {"id", "localhost", "ns_ip_address", "ns_activate"}) {
    if (!has(name))
      return Error{fmt::format("table nagios_server has no column {}, expected that of Centreon's configuration database", name)};
    columns.emplace_back(name);
  }
  // Older databases lack some of these.
  for (const auto* name : {"name", "gorgone_port", "gorgone_communication_type", "remote_id", "remote_server_use_as_proxy", "uid"})
    if (has(name)) columns.emplace_back(name);
  return columns;
}

Fleet read_fleet(const DatabaseTable& servers, const DatabaseTable& relations) {
  Fleet fleet;
  fleet.own_id = central_of(servers);
  std::map<std::string, std::string> remotes;      // of the nodes behind one
  std::map<std::string, std::string> unreachable;  // id → why
  std::map<std::string, std::string> uids, names;
  for (const auto& row : servers.rows) {
    const Server server(servers, row);
    if (server["ns_activate"] != "1") continue;
    names[server.id()] = server.named();
    if (const auto uid = server["uid"]; !uid.empty()) uids[server.id()] = uid;
    if (server.is_this_one()) {
      if (server.id() != fleet.own_id)
        fleet.left_out.push_back(server.named() + ": node " + fleet.own_id + " is the central already (localhost)");
      continue;
    }
    if (const auto remote = server.remote(); !remote.empty() && remote != fleet.own_id) {  // the central is no way through another node
      remotes[server.id()] = remote;
      continue;
    }
    auto entry = entry_of(server);
    if (entry)
      fleet.nodes.emplace(server.id(), std::move(*entry));
    else
      unreachable.emplace(server.id(), entry.error().message);
  }

  std::map<std::string, std::map<std::string, std::int64_t>> paths;  // node → nodes behind it
  std::set<std::string> reached;
  for (const auto& [id, remote] : remotes) {
    const auto hop = first_hop(remotes, id);
    if (fleet.nodes.contains(hop)) {
      paths[hop].emplace(id, score_of_remote);
      reached.insert(id);
    } else {
      unreachable.emplace(id, hop.empty() ? "its remotes lead in a circle (remote_id)"
                                          : fmt::format("it is reached through node {}, which is not there or not active", printable(hop)));
    }
  }
  for (const auto& row : relations.rows) {
    if (row.size() != 2 || !row[0] || !row[1]) continue;
    const auto hop = first_hop(remotes, *row[0]);
    const auto& id = *row[1];
    if (!names.contains(id) || id == fleet.own_id || hop == id || !fleet.nodes.contains(hop)) continue;
    paths[hop].emplace(id, score_of_relation);
    reached.insert(id);
  }
  for (const auto& [hop, list] : paths) {
    json::array subnodes;
    for (const auto& [id, score] : list) {
      json::object subnode{{"id", id}, {"pathscore", score}};
      if (const auto uid = uids.find(id); uid != uids.end()) subnode["uid"] = uid->second;
      subnodes.push_back(std::move(subnode));
    }
    fleet.nodes.at(hop)["nodes"] = std::move(subnodes);
  }
  for (const auto& id : reached)
    if (!fleet.nodes.contains(id)) ++fleet.subnodes;
  for (const auto& [id, why] : unreachable)
    if (!reached.contains(id)) fleet.left_out.push_back(names[id] + ": " + why);
  return fleet;
}

Difference difference(const std::map<std::string, json::object>& before, const std::map<std::string, json::object>& now) {
  Difference difference;
  for (const auto& [id, entry] : now) {
    const auto known = before.find(id);
    if (known != before.end() && known->second == entry) continue;
    difference.changed.push_back(entry);
    if (known == before.end()) ++difference.added;
  }
  for (const auto& [id, entry] : before)
    if (!now.contains(id)) difference.gone.push_back(json::object{{"id", id}});
  return difference;
}

}  // namespace gorgone::nodes
