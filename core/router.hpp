#pragma once
// Where a message goes: to the core, to a module, or through the gateway to another node. One per daemon, on the loop.

#include <gorgone/agent.hpp>
#include <gorgone/module.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace gorgone {

class Router {
 public:
  using CoreHandler = std::function<void(Message, Reply)>;
  using ModuleHandler = std::function<void(Message)>;

  explicit Router(Journal& journal) : journal_(journal) {}

  void set_own_id(std::string id) { own_id_ = std::move(id); }
  const std::string& own_id() const { return own_id_; }
  /// From now on every message is refused, code "stopping".
  void stop() { stopping_ = true; }
  void set_gateway(Gateway* gateway);
  Gateway* gateway() const { return gateway_; }
  bool is_stopping() const { return stopping_; }
  /// What takes messages wrapped in DELIVER, whatever their target.
  void set_deliveries(CoreHandler take) { deliveries_ = std::move(take); }
  bool is_here(const Message& message) const { return message.target.empty() || message.target == own_id_; }
  bool serves(const std::string& action) const { return targets_.contains(action); }
  bool is_of_core(const std::string& action) const;
  /// What the message needs went away some seconds ago at most: a reload may be putting another in its place.
  bool may_come_back(const Message& message) const;

  void add_core_action(const Action& action, CoreHandler handler);
  /// An Error where another module or the core serves one of the actions or paths already; then none is added.
  Result<void> add_module(const std::string& module, const std::vector<Action>& actions, const ModuleHandler& handler);
  void remove_module(const std::string& module);

  /// Takes a message and answers it at once (docs/protocol.md, Messages); draws a token where it has none.
  void submit(Message message, Reply reply);

  std::optional<Endpoint> endpoint(const std::string& method, const std::string& path) const;
  std::vector<std::string> methods(const std::string& path) const;
  /// `METHOD_/path` → action, as INFORMATION tells it.
  json::object endpoints() const;
  json::object counters() const;

 private:
  struct Target {
    std::string module;  // empty: the core
    CoreHandler core;
    ModuleHandler handler;
  };
  struct Route {
    std::string action, module;
  };
  void count(const Message& message);
  void refuse(const Message& message, const Reply& reply, std::string token, const std::string& code, const std::string& text);
  void add_route(const Action& action, const std::string& module);

  Journal& journal_;
  std::string own_id_;
  Gateway* gateway_ = nullptr;
  CoreHandler deliveries_;
  bool stopping_ = false;
  std::unordered_map<std::string, Target> targets_;
  std::unordered_map<std::string, std::chrono::steady_clock::time_point> left_;  // action → when its module was taken out
  std::optional<std::chrono::steady_clock::time_point> gateway_left_;
  std::map<std::string, std::map<std::string, Route>> routes_;  // path → method → route
  struct Counter {
    std::int64_t total = 0;
    std::map<std::string, std::int64_t> by_action;
  };
  Counter external_, internal_, proxied_;
};

}  // namespace gorgone
