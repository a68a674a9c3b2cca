#include "nodes_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace gorgone {
namespace {

constexpr std::string_view checked_place = "register.nodes[0]";

// As the options are written: digits stay text, which the proxy reads as well.
json::value to_json(const ConfigValue& value) {
  switch (value.kind) {
    case ConfigValue::Kind::null:
      return nullptr;
    case ConfigValue::Kind::scalar:
      return json::value(value.scalar);
    case ConfigValue::Kind::list: {
      json::array list;
      for (const auto& item : value.list) list.push_back(to_json(item));
      return list;
    }
    case ConfigValue::Kind::map:
      break;
  }
  json::object map;
  for (const auto& [key, item] : value.map) map[key] = to_json(item);
  return map;
}

// `alone`: a file of this node only.
json::value entry_of(const ConfigValue& item, const ConfigValue& alone) {
  auto entry = to_json(item);
  const Settings settings(std::make_shared<const Schema>(nodes_file_schema()), std::make_shared<const ConfigValue>(alone));
  if (item.find("prevail")) entry.get_object()["prevail"] = settings.items("nodes").at(0).boolean("prevail");
  return entry;
}

}  // namespace

const Schema& nodes_file_schema() {
  static const Schema schema{
      Option{"nodes", OptionType::list, "", "the nodes"},
      Option{"nodes[].id", OptionType::text, "", "the node's id, as in Centreon"}.required(),
      Option{"nodes[].uid", OptionType::text, "", "the node's uid in Centreon, by which it may register itself as well as by its id"},
      Option{"nodes[].type", OptionType::text, "push_zmq", "how the node is reached"}.one_of(
          {"push_zmq", "push_ssh", "pull", "wss", "pullwss"}),
      Option{"nodes[].address", OptionType::text, "", "host name or IP address"},
      Option{"nodes[].port", OptionType::integer, "5556", "TCP port of the node's listener"}.range(1, 65535),
      Option{"nodes[].server_pubkey", OptionType::path, "", "the node's public key; without it the node is asked for it"},
      Option{"nodes[].client_pubkey", OptionType::path, "", "public key to show to this node in place of the agent's own"},
      Option{"nodes[].client_privkey", OptionType::path, "", "private key to use with this node in place of the agent's own"},
      Option{"nodes[].prevail", OptionType::boolean, "false", "this entry beats what the nodes module says of the same id"},
      Option{"nodes[].nodes", OptionType::list, "", "nodes that are reached through this one"},
      Option{"nodes[].nodes[].id", OptionType::text, "", "the node's id"}.required(),
      Option{"nodes[].nodes[].pathscore", OptionType::integer, "1", "of several ways the one with the lowest score is taken"}.range(
          0, 1000000),
      Option{"nodes[].ssh_host", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].ssh_port", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].ssh_directory", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].ssh_username", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].ssh_password", OptionType::anything, "", "for push_ssh"}.secret(),
      Option{"nodes[].ssh_known_hosts", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].ssh_identity", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].ssh_connect_timeout", OptionType::anything, "", "for push_ssh"},
      Option{"nodes[].strict_serverkey_check", OptionType::anything, "", "for push_ssh"},
  };
  return schema;
}

Result<NodesFile> read_nodes_file(const std::string& file, std::vector<Problem>& problems) {
  auto tree = load_yaml(file, problems);
  if (!tree) return Error{"modules.register.config_file: " + tree.error().message};
  NodesFile read;
  const auto* list = tree->find("nodes");
  if (!list) return Error{"modules.register.config_file: " + file + ": there is no list \"nodes\""};
  if (list->kind == ConfigValue::Kind::null) return read;
  if (list->kind != ConfigValue::Kind::list)
    return Error{"modules.register.config_file: " + file + ": nodes: expected a list (" + list->where.text() + ")"};
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list->list.size(); ++i) {
    const auto& item = list->list[i];
    const auto place = fmt::format("register.nodes[{}]", i);
    // Checked one by one, so that an error in one node leaves out that one only.
    ConfigValue alone;
    alone.kind = ConfigValue::Kind::map;
    alone.where = item.where;
    ConfigValue one;
    one.kind = ConfigValue::Kind::list;
    one.where = list->where;
    one.list.push_back(item);
    alone.map.emplace_back("nodes", std::move(one));
    auto found = check(alone, nodes_file_schema(), "register");
    bool sound = true;
    for (auto& problem : found) {
      sound = sound && problem.severity != Problem::Severity::error;
      // In the file it is not the first one.
      if (problem.message.starts_with(checked_place)) problem.message.replace(0, checked_place.size(), place);
      problems.push_back(std::move(problem));
    }
    const auto* id = item.find("id");
    if (sound && id && !seen.insert(id->scalar).second) {
      problems.push_back(
          {Problem::Severity::error, fmt::format("{}.id: {} is there twice ({}); the first counts", place, id->scalar, item.where.text())});
    } else if (sound) {
      read.nodes.push_back(entry_of(item, alone));
    } else if (id) {
      read.unsound.insert(id->scalar);
    }
  }
  return read;
}

}  // namespace gorgone
