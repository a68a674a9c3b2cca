// register: tells the proxy the nodes of a file, at the start and again at REGISTERRESYNC.

#include <gorgone/module.hpp>

#include <algorithm>
#include <set>

#include "nodes_file.hpp"

namespace {

using namespace gorgone;

class Register final : public Module {
 public:
  Register(Agent& agent, const Settings& settings) : agent_(agent), file_(settings.text("config_file")) {}

  asio::awaitable<Result<void>> start() override {
    // A file with an error does not keep the module from running: it can be mended and read again.
    const auto outcome = sync();
    if (!outcome) agent_.log().error("{}", outcome.error().message);
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    const auto outcome = sync();
    if (!outcome) agent_.log().error("{}", outcome.error().message);
    const auto text = outcome ? fmt::format("{} nodes registered", known_.size()) : outcome.error().message;
    agent_.journal().write(
        NewRow{message.token, outcome ? code::finished : code::failed, to_text(json::value(json::object{{"message", text}}))});
    co_return;
  }

 private:
  Result<void> sync() {
    std::vector<Problem> problems;
    auto nodes = read_nodes_file(file_, problems);
    for (const auto& problem : problems) {
      if (problem.severity == Problem::Severity::error)
        agent_.log().error("{}", problem.message);
      else
        agent_.log().warning("{}", problem.message);
    }
    if (!nodes) return nodes.error();
    std::set<std::string> now;
    for (const auto& node : *nodes) now.insert(*text_of(member(node, "id")));
    json::array gone;
    for (const auto& id : known_)
      if (!now.contains(id)) gone.push_back(json::object{{"id", id}});
    if (!gone.empty())
      agent_.submit(Message{"UNREGISTERNODES", {}, {}, Payload(json::value(json::object{{"nodes", std::move(gone)}})), {}});
    if (!nodes->empty())
      agent_.submit(Message{"REGISTERNODES", {}, {}, Payload(json::value(json::object{{"nodes", std::move(*nodes)}})), {}});
    known_ = std::move(now);
    return {};
  }

  Agent& agent_;
  std::string file_;
  std::set<std::string> known_;
};

std::vector<Problem> check_file(const Settings& settings) {
  std::vector<Problem> problems;
  const auto nodes = read_nodes_file(settings.text("config_file"), problems);
  if (!nodes) problems.push_back({Problem::Severity::warning, nodes.error().message});
  return problems;
}

ModuleInfo info() {
  ModuleInfo info;
  info.name = "register";
  info.help = "Registers the nodes of a file with the proxy: which there are and how they are reached.";
  info.schema = {Option{"config_file", OptionType::path, "", "YAML file with the list `nodes`"}.required()};
  info.actions = {{"REGISTERRESYNC", "POST", "/core/register/resync"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<Register>(agent, settings); };
  info.check = check_file;
  return info;
}

}  // namespace

GORGONE_MODULE(info)
