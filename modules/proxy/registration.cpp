#include "registration.hpp"

#include <gorgone/log.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace gorgone::proxy {
namespace {

constexpr std::array<std::string_view, 10> known_members{
    "id", "type", "address", "port", "server_pubkey", "client_pubkey", "client_privkey", "identity", "prevail", "nodes"};
constexpr std::size_t id_length_max = 64;
constexpr std::string_view id_characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
constexpr std::int64_t port_standard = 5556;

}  // namespace

Result<const json::array*> nodes_of(const json::value& data) {
  const auto* nodes = member(data, "nodes");
  // Not what came: it may hold passwords.
  if (!nodes || !nodes->is_array()) return Error{"expected {\"nodes\":[…]}: there is no list \"nodes\""};
  return &nodes->get_array();
}

Result<Registration> read_node(const json::value& node) {
  if (!node.is_object()) return Error{"a node that is no object"};
  auto text = [&node](const char* name) { return text_of(member(node, name)).value_or(""); };
  Registration entry;
  auto& spec = entry.spec;
  spec.id = text("id");
  if (spec.id.empty())
    return Error{"a node without an id, of type \"" + printable(text("type")) + "\" and address \"" + printable(text("address")) + "\""};
  if (spec.id.size() > id_length_max || spec.id.find_first_not_of(id_characters) != std::string::npos)
    return Error{"node id \"" + printable(spec.id) + "\": expected up to 64 letters, digits, '-', '_' or '.'"};
  spec.type = text("type");
  if (spec.type.empty()) spec.type = "push_zmq";
  spec.address = text("address");
  const auto* port = member(node, "port");
  const auto number = port && !port->is_null() ? integer_of(port) : std::optional(port_standard);
  if (!number || *number < 1 || *number > 65535)
    return Error{"node '" + printable(spec.id) + "': port " + printable(to_text(*port)) + " is none, expected 1 to 65535"};
  spec.port = static_cast<std::uint16_t>(*number);
  spec.server_pubkey = text("server_pubkey");
  spec.client_pubkey = text("client_pubkey");
  spec.client_privkey = text("client_privkey");
  spec.identity = text("identity");
  for (const auto& item : node.get_object())
    if (std::find(known_members.begin(), known_members.end(), std::string_view(item.key())) == known_members.end())
      spec.extra[item.key()] = item.value();
  if (const auto* subnodes = member(node, "nodes"); subnodes && subnodes->is_array())
    for (const auto& subnode : subnodes->get_array())
      if (const auto id = text_of(member(subnode, "id"))) entry.subnodes[*id] = integer_of(member(subnode, "pathscore")).value_or(1);
  return entry;
}

bool is_prevailing(const json::object& node) {
  const auto prevail = text_of(node.if_contains("prevail")).value_or("");
  return prevail == "1" || prevail == "true" || prevail == "yes" || prevail == "on";
}

Result<std::vector<Registration>> read_registration(const json::value& data) {
  const auto nodes = nodes_of(data);
  if (!nodes) return nodes.error();
  std::vector<Registration> list;
  for (const auto& node : **nodes) {
    if (!node.is_object()) return Error{"node " + std::to_string(list.size() + 1) + " of the list is no object"};
    auto entry = read_node(node);
    if (!entry) return entry.error();
    list.push_back(std::move(*entry));
  }
  return list;
}

Result<std::vector<std::string>> read_ids(const json::value& data) {
  const auto nodes = nodes_of(data);
  if (!nodes) return nodes.error();
  std::vector<std::string> ids;
  for (const auto& node : **nodes)
    if (const auto id = text_of(member(node, "id"))) ids.push_back(*id);
  return ids;
}

std::set<std::string> nodes_behind(const json::value& nodes) {
  std::set<std::string> ids;
  if (!nodes.is_object()) return ids;
  for (const auto& [id, state] : nodes.get_object()) {
    ids.insert(std::string(id));
    if (const auto* behind = member(state, "nodes")) ids.merge(nodes_behind(*behind));
  }
  return ids;
}

bool has_feature_behind(const json::value& nodes, std::string_view id, std::string_view feature) {
  if (!nodes.is_object()) return false;
  for (const auto& [key, state] : nodes.get_object()) {
    if (const auto* list = member(state, "features"); key == id && list && list->is_array())
      for (const auto& name : list->get_array())
        if (name.is_string() && name.get_string() == feature) return true;
    if (const auto* behind = member(state, "nodes"); behind && has_feature_behind(*behind, id, feature)) return true;
  }
  return false;
}

bool learn(Paths& paths, const std::string& node, const Message& message) {
  const auto parsed = message.data.json();
  if (!parsed) return false;
  if (message.action == "PONG") {
    const auto* inner = member(**parsed, "data");
    const auto* nodes = inner ? member(*inner, "data") : nullptr;
    if (!nodes || !nodes->is_object()) return false;
    return paths.set_learned(node, nodes_behind(*nodes));
  }
  const auto ids = read_ids(**parsed);
  if (!ids) return false;
  bool is_changed = false;
  for (const auto& id : *ids) is_changed |= message.action == "REGISTERNODES" ? paths.learn(node, id) : paths.forget(node, id);
  return is_changed;
}

}  // namespace gorgone::proxy
