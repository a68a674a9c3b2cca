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
    auto text = outcome ? fmt::format("{} nodes registered", *outcome) : outcome.error().message;
    if (outcome && left_out_ > 0) text += fmt::format(", {} left out, see the log: {}", left_out_, first_left_out_);
    agent_.journal().write(
        NewRow{message.token, outcome ? code::finished : code::failed, to_text(json::value(json::object{{"message", text}}))});
    co_return;
  }

 private:
  // The number of nodes that count.
  Result<std::size_t> sync() {
    std::vector<Problem> problems;
    auto file = read_nodes_file(file_, problems);
    left_out_ = 0;
    for (const auto& problem : problems) {
      const bool is_error = problem.severity == Problem::Severity::error;
      if (is_error && left_out_++ == 0) first_left_out_ = problem.message;
      if (is_error)
        agent_.log().error("{}", problem.message);
      else
        agent_.log().warning("{}", problem.message);
    }
    if (!file) return file.error();
    std::set<std::string> now;
    for (const auto& node : file->nodes) now.insert(*text_of(member(node, "id")));
    json::array gone;
    for (const auto& id : known_)
      // A node with an error in the file stays as it was known.
      if (file->unsound.contains(id))
        now.insert(id);
      else if (!now.contains(id))
        gone.push_back(json::object{{"id", id}});
    const auto counting = count(file->nodes);
    if (!gone.empty()) tell("UNREGISTERNODES", std::move(gone));
    if (!file->nodes.empty()) tell("REGISTERNODES", std::move(file->nodes));
    known_ = std::move(now);
    return counting;
  }

  std::size_t count(const json::array& nodes) const {
    // Where the module nodes is loaded, the database says which there are.
    if (!agent_.endpoint("POST", "/centreon/nodes/sync")) return nodes.size();
    const auto prevails = [](const json::value& node) { return truth_of(member(node, "prevail"), false); };
    const auto counting = static_cast<std::size_t>(std::count_if(nodes.begin(), nodes.end(), prevails));
    if (counting < nodes.size())
      agent_.log().info("{}: {} of {} nodes count, those with prevail, for the others are the database's (module nodes)", file_, counting,
                        nodes.size());
    return counting;
  }

  void tell(const std::string& action, json::array nodes) {
    Message message{action, {}, {}, Payload(json::value(json::object{{"source", "register"}, {"nodes", std::move(nodes)}})), {}};
    agent_.submit(std::move(message), [this, action](const Answer& answer) {
      if (answer.code == code::failed) agent_.log().error("{} was refused, is the proxy module loaded? {}", action, answer.data.text());
    });
  }

  Agent& agent_;
  std::string file_;
  std::size_t left_out_ = 0;  // entries, at the last reading
  std::string first_left_out_;
  std::set<std::string> known_;
};

// Nothing in that file keeps the module from running.
std::vector<Problem> check_file(const Settings& settings) {
  std::vector<Problem> problems;
  const auto nodes = read_nodes_file(settings.text("config_file"), problems);
  for (auto& problem : problems) {
    if (problem.severity == Problem::Severity::error) problem = {Problem::Severity::warning, problem.message + "; this entry is left out"};
  }
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
