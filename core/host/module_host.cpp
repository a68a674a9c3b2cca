#include "core/host/module_host.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>

#include <algorithm>

#include "core/config/deployed_modules.hpp"
#include "core/host/module_library.hpp"

namespace gorgone {
namespace {

constexpr auto start_limit = std::chrono::seconds(10), end_limit = std::chrono::seconds(5);
constexpr auto looking_pause = std::chrono::milliseconds(10);
constexpr std::size_t waiting_max = 10000;

Settings settings_of(const AgentConfig::ModuleEntry& entry, const ModuleInfo& info) {
  return Settings(std::make_shared<const Schema>(info.schema), std::make_shared<const ConfigValue>(entry.values));
}

}  // namespace

std::string lacking(const AgentConfig::ModuleEntry& entry, const std::filesystem::path& modules_dir) {
  const auto lost = lost_without(entry.package);
  std::error_code absent;
  if (lost.empty() || std::filesystem::exists(library_file(modules_dir, entry.library), absent)) return {};
  return fmt::format("this agent has no module '{}': {} ({})", printable(entry.name), lost, entry.where.text());
}

std::vector<Problem> check_module(const AgentConfig::ModuleEntry& entry, const ModuleInfo& info) {
  auto problems = check(entry.values, info.schema, "modules." + entry.name, module_keys());
  const bool sound =
      std::none_of(problems.begin(), problems.end(), [](const Problem& problem) { return problem.severity == Problem::Severity::error; });
  if (sound && info.check)
    for (auto& problem : info.check(settings_of(entry, info))) problems.push_back(std::move(problem));
  return problems;
}

Result<void> ModuleHost::load(const AgentConfig::ModuleEntry& entry, bool only_links) {
  try {
    return load_or_throw(entry, only_links);
  } catch (const std::exception& failure) {
    services_.router.remove_module(entry.name);
    return Error{std::string("it failed to be made: ") + failure.what()};
  }
}

Result<void> ModuleHost::load_or_throw(const AgentConfig::ModuleEntry& entry, bool only_links) {
  if (const auto found = slots_.find(entry.name); found != slots_.end())
    return Error{"module '" + entry.name + "' is " + (found->second.stopping ? "stopping: try again when it has ended" : "loaded already")};
  if (const auto missing = lacking(entry, modules_dir_); !missing.empty()) return Error{missing};
  const auto info = open_module(modules_dir_, entry.library);
  if (!info) return info.error();
  if (only_links && !(*info)->offers_links) return Error{"module '" + entry.name + "' is no way to reach a node"};
  std::string errors;
  for (const auto& problem : check_module(entry, **info)) {
    if (problem.severity == Problem::Severity::error)
      errors += (errors.empty() ? "" : "; ") + problem.message;
    else
      log_.warning("{}", problem.message);
  }
  if (!errors.empty()) return Error{errors};
  // Before the module is made: one whose actions are taken must not do anything.
  const auto added = services_.router.add_module(entry.name, (*info)->actions,
                                                 [this, name = entry.name](Message message) { deliver(name, std::move(message)); });
  if (!added) return added.error();

  Slot slot;
  slot.package = entry.package.empty() ? "gorgone::modules::core::" + (*info)->name + "::hooks" : entry.package;
  slot.agent = std::make_unique<ModuleAgent>(services_, *this, entry.name);
  slot.order = next_order_++;
  slot.serves_clients = (*info)->serves_clients;
  slot.module = (*info)->create(*slot.agent, settings_of(entry, **info));
  slots_.emplace(entry.name, std::move(slot));
  return {};
}

asio::awaitable<Result<void>> ModuleHost::start(std::string name) {
  const auto found = slots_.find(name);
  if (found == slots_.end() || found->second.stopping) co_return Error{"module '" + name + "' is not loaded"};
  auto& slot = found->second;  // stays while it is starting
  slot.starting = true;
  const auto begun = std::chrono::steady_clock::now();
  Result<void> outcome;
  try {
    outcome = co_await slot.module->start();
  } catch (const std::exception& failure) {
    outcome = Error{failure.what()};
  }
  slot.starting = false;
  slot.started = outcome.has_value();
  if (slot.stopping) {
    if (slot.is_given_up) {
      co_await take_out(name, slot);
      log_.info("module '{}' unloaded", name);
      outcome = Error{"it was unloaded while it started"};
    }
    co_return outcome;
  }
  if (!outcome) {
    services_.router.remove_module(name);
    for (const auto& message : slot.waiting) refuse(message, "module '" + name + "' did not start: " + outcome.error().message);
    slot.waiting.clear();
    co_await take_out(name, slot);
    co_return outcome;
  }
  const auto took = std::chrono::steady_clock::now() - begun;
  if (took < start_limit)
    log_.debug("module '{}' started", name);
  else
    log_.notice("module '{}' has started after {} s", name, std::chrono::duration_cast<std::chrono::seconds>(took).count());
  auto waiting = std::move(slot.waiting);
  slot.waiting.clear();
  for (auto& message : waiting) deliver(name, std::move(message));
  co_return outcome;
}

void ModuleHost::start_and_tell(std::string name, std::function<void()> done) {
  auto ended = [this, name, done = std::move(done)](const std::exception_ptr&, const Result<void>& outcome) {
    if (!outcome) log_.error("module '{}' did not start: {}", name, outcome.error().message);
    if (done) done();
  };
  asio::co_spawn(services_.loop, start(name), std::move(ended));
}

asio::awaitable<void> ModuleHost::start_in_turn(std::string name) {
  struct Turn {
    asio::steady_timer limit;
    bool has_ended = false;
  };
  const auto turn = std::make_shared<Turn>(Turn{asio::steady_timer(services_.loop, start_limit)});
  start_and_tell(name, [turn] {
    turn->has_ended = true;
    turn->limit.cancel();
  });
  boost::system::error_code ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  if (!turn->has_ended) co_await turn->limit.async_wait(token);
  if (!turn->has_ended)
    log_.error("module '{}' has not started within {} s: what it is sent waits for it, all others go on", name, start_limit.count());
}

void ModuleHost::deliver(const std::string& name, Message message) {
  const auto found = slots_.find(name);
  if (found == slots_.end() || found->second.stopping) {
    refuse(message, "module '" + name + "' is stopping");
    return;
  }
  auto& slot = found->second;
  if (!slot.started) {
    if (slot.waiting.size() < waiting_max)
      slot.waiting.push_back(std::move(message));
    else
      refuse(message, "busy: module '" + name + "' has not started yet");
    return;
  }
  slot.agent->spawn(run(*slot.module, *slot.agent, std::move(message)));
}

// For good: what came with a delivery id does not come back at the next start.
void ModuleHost::refuse(const Message& message, const std::string& why) {
  services_.journal.write(NewRow{message.token, code::failed, to_text(json::value(json::object{{"message", why}}))});
  if (!message.delivery.empty()) services_.journal.end_incoming(message.delivery);
}

// An exception in one message ends that message, not the daemon.
asio::awaitable<void> ModuleHost::run(Module& module, ModuleAgent& agent, Message message) {
  const auto token = message.token;
  const auto action = message.action;
  std::string what;
  const auto delivery = message.delivery;
  bool is_stopped = false;
  try {
    co_await module.handle(std::move(message));
    if (!delivery.empty()) agent.end(delivery);
    co_return;
  } catch (const boost::system::system_error& failure) {
    is_stopped = failure.code() == asio::error::operation_aborted;
    what = is_stopped ? "interrupted: the module stops" : failure.what();
  } catch (const std::exception& failure) {
    what = failure.what();
  }
  // It runs at the next start: nothing of it has happened yet.
  if (!delivery.empty() && agent.is_stopping() && !agent.has_begun(delivery)) co_return;
  if (!delivery.empty()) agent.end(delivery);
  agent.log().error("{} failed: {} token={}", action, what, printable(token));
  json::object data{{"message", action + " failed: " + what}};
  if (is_stopped) data["error"] = "stopping";  // whoever can sends it again
  agent.journal().write(NewRow{token, code::failed, to_text(json::value(std::move(data)))});
}

asio::awaitable<void> ModuleHost::end(Slot& slot) {
  slot.stopping = true;
  try {
    if (slot.started) co_await slot.module->stop();
  } catch (const std::exception& failure) {
    slot.agent->log().error("failed to stop: {}", failure.what());
  }
  const bool ended = co_await slot.agent->finish(end_limit);
  if (ended) {
    slot.module.reset();
    slot.agent.reset();
    co_return;
  }
  slot.agent->log().error("tasks still run {} s after they were cancelled", end_limit.count());
  leave_behind(slot);
}

// What still runs may use them: they are never destroyed, and a search for leaks finds them here.
void ModuleHost::leave_behind(Slot& slot) {
  static auto& left = *new std::vector<std::pair<std::unique_ptr<Module>, std::unique_ptr<ModuleAgent>>>;
  left.emplace_back(std::move(slot.module), std::move(slot.agent));
}

asio::awaitable<void> ModuleHost::take_out(std::string name, Slot& slot) {
  // At a stop of the daemon what it has taken runs at the next start.
  for (const auto& message : slot.waiting)
    if (message.delivery.empty() || !services_.router.is_stopping()) refuse(message, "module '" + name + "' is stopping");
  co_await end(slot);
  slots_.erase(name);
}

asio::awaitable<Result<void>> ModuleHost::unload(std::string name) {
  const auto found = slots_.find(name);
  if (found == slots_.end()) co_return Error{"module '" + name + "' is not loaded", "unknown_module"};
  auto& slot = found->second;
  if (slot.stopping) co_return Error{"module '" + name + "' is stopping already"};
  services_.router.remove_module(name);
  slot.stopping = true;
  const auto until = std::chrono::steady_clock::now() + end_limit;
  asio::steady_timer pause(services_.loop);
  while (slot.starting) {
    if (std::chrono::steady_clock::now() > until) {
      slot.is_given_up = true;
      co_return Error{"module '" + name + "' is still starting: it is unloaded as soon as that has ended"};
    }
    pause.expires_after(looking_pause);
    co_await pause.async_wait(asio::use_awaitable);
  }
  co_await take_out(name, slot);
  log_.info("module '{}' unloaded", name);
  co_return Result<void>{};
}

asio::awaitable<void> ModuleHost::stop_all() {
  std::vector<std::pair<int, std::string>> order;
  for (const auto& [name, slot] : slots_) order.emplace_back(slot.order, name);
  std::sort(order.rbegin(), order.rend());
  for (const auto& [rank, name] : order) {
    const auto outcome = co_await unload(name);
    if (!outcome) log_.debug("module '{}': {}", name, outcome.error().message);
  }
  // Those that somebody else has begun to unload.
  asio::steady_timer pause(services_.loop);
  const auto is_ending = [](const auto& entry) {
    const Slot& slot = entry.second;
    return slot.stopping && !(slot.is_given_up && slot.starting);
  };
  while (std::any_of(slots_.begin(), slots_.end(), is_ending)) {
    pause.expires_after(looking_pause);
    co_await pause.async_wait(asio::use_awaitable);
  }
  for (auto& [name, slot] : slots_) leave_behind(slot);
}

Result<LinkFactory*> ModuleHost::link_factory(const std::string& type) {
  const std::string named = "type \"" + printable(type) + "\": ";
  if (!slots_.contains(type)) {
    // Configurations of deployed daemons never list the ways to a node.
    AgentConfig::ModuleEntry entry;
    entry.name = entry.library = type;
    if (type.empty() || type.find('/') != std::string::npos) return Error{named + "expected the name of a link module, such as push_zmq"};
    if (const auto loaded = load(entry, true); !loaded) return Error{named + loaded.error().message};
    start_and_tell(type);
  }
  // Starting may have failed at once.
  const auto found = slots_.find(type);
  auto* factory = found == slots_.end() ? nullptr : found->second.module->link_factory();
  if (!factory) return Error{named + "the module of that name is no way to reach a node"};
  return factory;
}

bool ModuleHost::serves_clients(const std::string& name) const {
  const auto found = slots_.find(name);
  return found != slots_.end() && found->second.serves_clients;
}

std::vector<std::string> ModuleHost::names() const {
  std::vector<std::string> names;
  for (const auto& [name, slot] : slots_) names.push_back(name);
  return names;
}

json::object ModuleHost::packages() const {
  json::object list;
  for (const auto& [name, slot] : slots_) list[name] = slot.package;
  return list;
}

}  // namespace gorgone
