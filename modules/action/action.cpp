// The action module: runs commands on its node (COMMAND, ACTIONENGINE) and takes files (PROCESSCOPY).
#include <gorgone/module.hpp>

#include "command_runner.hpp"
#include "copier.hpp"
#include "options.hpp"

namespace gorgone::action {
namespace {

class ActionModule : public Module {
 public:
  ActionModule(Agent& agent, Settings settings) : agent_(agent), settings_(std::move(settings)) {}

  asio::awaitable<Result<void>> start() override {
    auto options = read_options(settings_);
    if (!options) co_return options.error();
    options_ = std::move(*options);
    runner_.emplace(agent_, options_);
    copier_.emplace(agent_, options_);
    agent_.spawn(copier_->recover());
    agent_.spawn(copier_->watch_idle());
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    if (message.action == "COMMAND") return runner_->run_commands(std::move(message));
    if (message.action == "ACTIONENGINE") return runner_->run_engine(std::move(message));
    return copier_->take(std::move(message));
  }

  asio::awaitable<void> stop() override {
    if (copier_) co_await copier_->stop();
  }

 private:
  Agent& agent_;
  Settings settings_;
  Options options_;
  std::optional<CommandRunner> runner_;
  std::optional<Copier> copier_;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "action";
  info.help =
      "Runs commands on its node and takes files that are copied to it. Commands run one after the other within a request, several "
      "requests at the same time, each command in a process group of its own that ends with it at its timeout.";
  info.schema = schema();
  info.actions = {{"COMMAND", "POST", "/core/action/command"}, {"ACTIONENGINE", "POST", "/core/action/engine"}, {"PROCESSCOPY"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> {
    return std::make_unique<ActionModule>(agent, std::move(settings));
  };
  info.check = check_options;
  return info;
}

}  // namespace
}  // namespace gorgone::action

GORGONE_MODULE(gorgone::action::info)
