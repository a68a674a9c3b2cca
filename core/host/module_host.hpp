#pragma once
// The modules that run: loads, starts, stops, and hands them their messages. A module that fails is an error in the log, never
// the end of the daemon. On the loop.

#include <gorgone/module.hpp>

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "core/config/agent_config.hpp"
#include "core/host/module_agent.hpp"

namespace gorgone {

class ModuleHost {
 public:
  ModuleHost(Services services, std::filesystem::path modules_dir) : services_(std::move(services)), modules_dir_(std::move(modules_dir)) {}

  /// Makes the module and opens its actions; messages wait until start() has ended well. `only_links`: one that offers links, or an Error.
  Result<void> load(const AgentConfig::ModuleEntry& entry, bool only_links = false);
  /// Starts a loaded module; one that does not start is taken out again.
  asio::awaitable<Result<void>> start(std::string name);
  /// As start(), with what comes of it in the log. One that takes long is told and goes on without the caller.
  asio::awaitable<void> start_in_turn(std::string name);
  /// Stops gently: no new messages, what runs is cancelled and waited for. One that is long in starting is left to itself, with an Error,
  /// and unloaded when that ends.
  asio::awaitable<Result<void>> unload(std::string name);
  /// All, in the opposite order of their loading; the last that is asked of the host.
  asio::awaitable<void> stop_all();

  Result<LinkFactory*> link_factory(const std::string& type);
  bool has(const std::string& name) const { return slots_.contains(name); }
  /// Whether it is a door for clients (ModuleInfo::serves_clients).
  bool serves_clients(const std::string& name) const;
  std::vector<std::string> names() const;
  /// name → package, as INFORMATION tells it.
  json::object packages() const;

 private:
  struct Slot {
    std::string package;
    std::unique_ptr<ModuleAgent> agent;  // before what it made
    std::unique_ptr<Module> module;
    int order = 0;
    bool serves_clients = false;
    bool starting = false, started = false, stopping = false;
    bool is_given_up = false;     // by unload(): start() takes it out when it ends
    std::deque<Message> waiting;  // until it has started
  };
  Result<void> load_or_throw(const AgentConfig::ModuleEntry& entry, bool only_links);
  void start_and_tell(std::string name, std::function<void()> done = {});
  void deliver(const std::string& name, Message message);
  void refuse(const Message& message, const std::string& why);
  static asio::awaitable<void> run(Module& module, ModuleAgent& agent, Message message);
  asio::awaitable<void> end(Slot& slot);
  asio::awaitable<void> take_out(std::string name, Slot& slot);
  static void leave_behind(Slot& slot);

  Services services_;
  std::filesystem::path modules_dir_;
  Log log_{"core"};
  std::map<std::string, Slot> slots_;
  int next_order_ = 0;
};

/// What does not happen for want of a module that deployed daemons have and this agent has not: "this agent has no module 'cron': …". Empty
/// where the module is there, or is none of deployed daemons.
std::string lacking(const AgentConfig::ModuleEntry& entry, const std::filesystem::path& modules_dir);

/// The problems of one module's options, and of its own checks.
std::vector<Problem> check_module(const AgentConfig::ModuleEntry& entry, const ModuleInfo& info);

}  // namespace gorgone
