#include "core/router.hpp"

#include <algorithm>

namespace gorgone {
namespace {

// Names of actions in INFORMATION are bounded: a peer may invent as many as it likes.
constexpr std::size_t counted_names_max = 200;
// A module that is replaced is back sooner.
constexpr auto back_within = std::chrono::seconds(10);

}  // namespace

void Router::add_route(const Action& action, const std::string& module) {
  if (!action.path.empty()) routes_[action.path].insert_or_assign(action.method, Route{action.name, module});
}

void Router::add_core_action(const Action& action, CoreHandler handler) {
  targets_[action.name] = Target{{}, std::move(handler), {}};
  add_route(action, {});
}

Result<void> Router::add_module(const std::string& module, const std::vector<Action>& actions, const ModuleHandler& handler) {
  for (const auto& action : actions) {
    const auto known = targets_.find(action.name);
    if (known != targets_.end())
      return Error{"action " + action.name + " is served by " +
                   (known->second.module.empty() ? "the core" : "module " + known->second.module) + " already"};
    const auto path = routes_.find(action.path);
    if (!action.path.empty() && path != routes_.end() && path->second.contains(action.method))
      return Error{action.method + " " + action.path + " is served already"};
  }
  for (const auto& action : actions) {
    targets_[action.name] = Target{module, {}, handler};
    left_.erase(action.name);
    add_route(action, module);
  }
  return {};
}

void Router::remove_module(const std::string& module) {
  std::erase_if(targets_, [&](const auto& entry) {
    const bool leaves = entry.second.module == module;
    if (leaves) left_[entry.first] = std::chrono::steady_clock::now();
    return leaves;
  });
  for (auto& [path, methods] : routes_) std::erase_if(methods, [&](const auto& entry) { return entry.second.module == module; });
  std::erase_if(routes_, [](const auto& entry) { return entry.second.empty(); });
}

void Router::submit(Message message, Reply reply) {
  if (message.token.empty()) message.token = new_token();
  count(message);
  if (message.action == "DELIVER" && deliveries_) return deliveries_(std::move(message), std::move(reply));
  if (stopping_) return refuse(message, reply, message.token, "stopping", "the daemon is stopping");
  if (!is_here(message)) {
    if (!gateway_) return refuse(message, reply, message.token, "no_proxy", "no proxy configured. cannot manage target.");
    ++proxied_.total;
    gateway_->forward(std::move(message), std::move(reply));
    return;
  }
  if (gateway_ && gateway_->hold(message, reply)) return;
  const auto found = targets_.find(message.action);
  if (found == targets_.end()) return refuse(message, reply, {}, "unknown_action", "action '" + printable(message.action) + "' is unknown");
  if (found->second.module.empty()) {
    // A copy: the handler may add or remove targets.
    const auto handler = found->second.core;
    handler(std::move(message), std::move(reply));
    return;
  }
  const auto token = message.token;
  const auto handler = found->second.handler;
  handler(std::move(message));
  if (reply) reply(Answer{"ACK", token, 0, Payload("null")});
}

void Router::set_gateway(Gateway* gateway) {
  gateway_left_ = gateway_ && !gateway ? std::optional(std::chrono::steady_clock::now()) : std::nullopt;
  gateway_ = gateway;
}

bool Router::may_come_back(const Message& message) const {
  const auto since = std::chrono::steady_clock::now() - back_within;
  if (!is_here(message)) return !gateway_ && gateway_left_ && *gateway_left_ > since;
  const auto left = left_.find(message.action);
  return left != left_.end() && left->second > since;
}

bool Router::is_of_core(const std::string& action) const {
  const auto found = targets_.find(action);
  return found != targets_.end() && found->second.module.empty();
}

void Router::refuse(const Message& message, const Reply& reply, std::string token, const std::string& code, const std::string& text) {
  const Payload data(json::value(json::object{{"error", code}, {"message", text}}));
  journal_.write(NewRow{message.token, code::failed, data.text()});
  if (reply) reply(Answer{"ACK", std::move(token), 1, data});
}

void Router::count(const Message& message) {
  auto& counter = message.origin.kind == Origin::Kind::client ? external_ : internal_;
  ++counter.total;
  std::string name = message.action;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (counter.by_action.contains(name) || (counter.by_action.size() < counted_names_max && targets_.contains(message.action)))
    ++counter.by_action[name];
}

std::optional<Endpoint> Router::endpoint(const std::string& method, const std::string& path) const {
  // The longest registered path that `path` begins with; what follows are variables.
  for (std::size_t end = path.size();;) {
    const auto found = routes_.find(path.substr(0, end));
    if (found != routes_.end()) {
      const auto route = found->second.find(method);
      if (route != found->second.end()) {
        Endpoint endpoint{route->second.action, {}};
        std::size_t begin = end + 1;
        while (begin < path.size()) {
          const auto slash = std::min(path.find('/', begin), path.size());
          if (slash > begin) endpoint.variables.push_back(path.substr(begin, slash - begin));
          begin = slash + 1;
        }
        return endpoint;
      }
    }
    end = path.rfind('/', end - 1);
    if (end == std::string::npos || end == 0) return {};
  }
}

std::vector<std::string> Router::methods(const std::string& path) const {
  std::vector<std::string> methods;
  for (std::size_t end = path.size(); end != std::string::npos && end > 0; end = path.rfind('/', end - 1)) {
    const auto found = routes_.find(path.substr(0, end));
    if (found == routes_.end()) continue;
    for (const auto& [method, route] : found->second) methods.push_back(method);
    break;
  }
  return methods;
}

json::object Router::endpoints() const {
  json::object list;
  for (const auto& [path, methods] : routes_)
    for (const auto& [method, route] : methods) list[method + "_" + path] = route.action;
  return list;
}

json::object Router::counters() const {
  auto object = [](const Counter& counter) {
    json::object out{{"total", counter.total}};
    for (const auto& [name, n] : counter.by_action) out[name] = n;
    return out;
  };
  return {{"total", external_.total + internal_.total},
          {"external", object(external_)},
          {"internal", object(internal_)},
          {"proxy", object(proxied_)}};
}

}  // namespace gorgone
