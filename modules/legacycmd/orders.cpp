#include "orders.hpp"

#include <algorithm>

namespace gorgone::legacycmd {
namespace {

const std::string vmware_restart = "sudo systemctl restart centreon_vmware.service";

std::string folder(std::string path) {
  if (!path.ends_with('/')) path += '/';
  return path;
}

// Copies that were ordered before must be in place when it runs.
Order after_copies(std::string action, json::value content) {
  Order order{std::move(action), {}};
  order.data["content"] = std::move(content);
  order.data["after_copies"] = true;
  return order;
}

Order command(const std::string& text) {
  json::array list;
  list.push_back(json::object{{"command", text}});
  return after_copies("COMMAND", std::move(list));
}

Order engine_action(const std::string& text) { return after_copies("ACTIONENGINE", json::object{{"command", text}}); }

// Most pollers have no such service, and the deployed daemon restarts it on all of them.
Order unheeded(Order order) {
  order.may_fail = true;
  return order;
}

Order copy(const Paths& paths, std::string source, std::string destination, const char* owner, const char* group) {
  Order order{"REMOTECOPY", {}};
  json::object content{
      {"source", source}, {"destination", std::move(destination)}, {"cache_dir", paths.cache_dir}, {"owner", owner}, {"group", group}};
  order.data["content"] = std::move(content);
  order.source = std::move(source);
  return order;
}

std::string without(std::string_view text, std::string_view characters) {
  std::string kept;
  for (const char c : text)
    if (c != '\0' && characters.find(c) == std::string_view::npos) kept += c;
  return to_utf8(kept);
}

Order external_commands(const Line& line, const Poller& poller, std::string_view illegal) {
  Order order{"ENGINECOMMAND", {}};
  json::array commands;
  commands.emplace_back(without(line.param, illegal));
  json::object content{{"commands", std::move(commands)}};
  if (!poller.command_file.empty()) content["command_file"] = poller.command_file;
  order.data["content"] = std::move(content);
  return order;
}

}  // namespace

bool needs_poller(const Line& line) { return line.command != "STARTWORKER"; }

std::string lane_of(const Line& line) { return needs_poller(line) ? line.target : std::string(); }

Result<std::vector<Order>> orders_of(const Line& line, const Poller& poller, const Paths& paths, std::string_view illegal_characters) {
  const auto& name = line.command;
  std::string missing;
  // The columns are told by the database's names, for that is where an administrator finds them.
  auto need = [&missing](const std::string& value, const char* column) -> const std::string& {
    if (value.empty() && missing.empty()) missing = column;
    return value;
  };
  std::vector<Order> orders;
  if (name == "STARTWORKER") {
    orders.push_back(Order{"STARTWORKER", {}});
  } else if (name == "EXTERNALCMD") {
    orders.push_back(external_commands(line, poller, illegal_characters));
    if (orders.back().data["content"].at("commands").at(0).get_string().empty())
      return Error{"EXTERNALCMD: nothing but characters that are taken out"};
  } else if (name == "SENDCFGFILE") {
    const auto config = folder(paths.cache_dir) + "config/";
    orders.push_back(copy(paths, config + "vmware/" + line.target + "/centreon_vmware.json", "/etc/centreon/centreon_vmware.json",
                          "centreon-gorgone", "centreon"));
    orders.back().may_be_missing = true;
    orders.push_back(copy(paths, config + "engine/" + line.target, folder(need(poller.cfg_dir, "cfg_nagios.cfg_dir")), "centreon-engine",
                          "centreon-engine"));
    orders.push_back(copy(paths, config + "broker/" + line.target,
                          folder(need(poller.broker_cfg_dir, "nagios_server.centreonbroker_cfg_path")), "centreon-broker",
                          "centreon-broker"));
  } else if (name == "SENDEXPORTFILE") {
    orders.push_back(copy(paths, folder(paths.cache_dir) + "config/export/" + line.target, paths.remote_dir, "centreon", "centreon"));
    json::object task{{"parent_id", line.param},
                      {"cbd_reload", "sudo " + need(poller.broker_reload, "nagios_server.broker_reload_command")}};
    orders.push_back(after_copies("ADDIMPORTTASKWITHPARENT", std::move(task)));
    orders.back().needs_all_before = true;
  } else if (name == "SYNCTRAP") {
    orders.push_back(copy(paths, folder(paths.cache_dir_trap) + line.target + "/centreontrapd.sdb",
                          folder(need(poller.traps_dir, "nagios_server.snmp_trapd_path_conf")), "centreon", "centreon"));
    orders.back().data["content"].get_object()["mode"] = "0664";
  } else if (name == "ENGINERESTART" || name == "ENGINERELOAD") {
    orders.push_back(unheeded(engine_action(vmware_restart)));
    orders.push_back(
        engine_action("sudo " + (name == "ENGINERESTART" ? need(poller.engine_restart, "nagios_server.engine_restart_command")
                                                         : need(poller.engine_reload, "nagios_server.engine_reload_command"))));
    orders.back().data["content"].get_object()["plugins"] = folder(need(poller.cfg_dir, "cfg_nagios.cfg_dir")) + "plugins.json";
  } else if (name == "RESTART" || name == "RELOAD") {
    orders.push_back(unheeded(command(vmware_restart)));
    orders.push_back(command("sudo " + (name == "RESTART" ? need(poller.engine_restart, "nagios_server.engine_restart_command")
                                                          : need(poller.engine_reload, "nagios_server.engine_reload_command"))));
  } else if (name == "START") {
    orders.push_back(command("sudo " + need(poller.engine_start, "nagios_server.engine_start_command")));
  } else if (name == "STOP") {
    orders.push_back(command("sudo " + need(poller.engine_stop, "nagios_server.engine_stop_command")));
  } else if (name == "RELOADBROKER") {
    orders.push_back(command("sudo " + need(poller.broker_reload, "nagios_server.broker_reload_command")));
  } else {
    const auto& service = need(poller.traps_service, "nagios_server.init_script_centreontrapd");
    orders.push_back(command("sudo service " + service + (name == "RESTARTCENTREONTRAPD" ? " restart" : " reload")));
  }
  if (!missing.empty()) return Error{name + ": the database has no " + missing + " for poller '" + line.target + "'"};
  return orders;
}

}  // namespace gorgone::legacycmd
