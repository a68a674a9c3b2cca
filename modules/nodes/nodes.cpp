// nodes: tells the proxy the nodes of Centreon's database, at the start, every resync_time and when somebody asks.

#include <gorgone/database.hpp>
#include <gorgone/module.hpp>

#include <boost/algorithm/string/join.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include <stdexcept>
#include <utility>

#include "fleet.hpp"

namespace {

using namespace gorgone;

constexpr auto after_error = std::chrono::seconds(10);
// How long the modules after this one wait for the nodes.
constexpr auto start_limit = std::chrono::seconds(2);
constexpr std::size_t waiting_max = 1000;
constexpr std::size_t portion_max = 200;

// An Agent's module is made only where its configuration is right.
DatabaseAccess access_or_throw(const Agent& agent) {
  auto access = database_access(agent.centreon_config());
  if (!access) throw std::runtime_error(access.error().message);
  return std::move(*access);
}

class Nodes final : public Module {
 public:
  Nodes(Agent& agent, const Settings& settings)
      : agent_(agent),
        database_(agent, access_or_throw(agent)),
        resync_(settings.integer("resync_time")),
        pause_(agent.loop()),
        started_(agent.loop()) {}

  asio::awaitable<Result<void>> start() override {
    started_.expires_after(start_limit);
    agent_.spawn(live());
    boost::system::error_code ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await started_.async_wait(token);
    co_return Result<void>{};
  }

  // Whoever asks gets an answer of a sync that begins now: one that is under way may have read before what was changed.
  asio::awaitable<void> handle(Message message) override {
    if (asking_.size() < waiting_max) {
      // From the proxy that has just started: it may be at the former one's address.
      if (message.origin.kind == Origin::Kind::internal) is_proxy_new_ = true;
      asking_.push_back(message.token);
      pause_.cancel();
    } else {
      end(message.token, code::failed, {{"message", "busy: 1000 requests wait for the database"}});
    }
    co_return;
  }

  asio::awaitable<void> stop() override {
    for (const auto* tokens : {&answering_, &asking_})
      for (const auto& token : *tokens) end(token, code::failed, {{"message", "the daemon stopped before the database had answered"}});
    answering_.clear();
    asking_.clear();
    co_return;
  }

 private:
  asio::awaitable<void> live() {
    for (;;) {
      answering_ = std::exchange(asking_, {});
      auto outcome = co_await sync();
      tell(outcome);
      started_.cancel();
      if (!asking_.empty()) continue;
      pause_.expires_after(outcome ? std::chrono::seconds(resync_) : after_error);
      boost::system::error_code ended;
      auto token = asio::redirect_error(asio::use_awaitable, ended);
      co_await pause_.async_wait(token);
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) co_return;
    }
  }

  asio::awaitable<Result<json::object>> sync() {
    const auto head = co_await database_.query("SELECT * FROM nagios_server LIMIT 0");
    if (!head) co_return head.error();
    const auto columns = nodes::columns_of(head->columns);
    if (!columns) co_return columns.error();
    auto statement = "SELECT " + boost::algorithm::join(*columns, ", ") + " FROM nagios_server WHERE ns_activate = '1' ORDER BY id";
    const auto servers = co_await database_.query(std::move(statement));
    if (!servers) co_return servers.error();
    // Not even the central is in it: it is being restored, or is not Centreon's.
    if (servers->rows.empty()) co_return Error{"table nagios_server has no active server, expected the central at least"};
    const auto relations = co_await database_.query("SELECT remote_server_id, poller_server_id FROM rs_poller_relation");
    if (!relations) co_return relations.error();
    const auto debug = co_await database_.query("SELECT value FROM options WHERE `key` = 'debug_gorgone'");
    if (!debug) co_return debug.error();
    apply_debug(*debug);
    auto read = [&servers, &relations] { return nodes::read_fleet(*servers, *relations); };
    auto fleet = co_await agent_.blocking(read);
    co_return co_await apply(std::move(fleet));
  }

  asio::awaitable<json::object> apply(nodes::Fleet fleet) {
    if (!fleet.own_id.empty() && fleet.own_id != agent_.node_id()) submit("SETCOREID", {{"id", fleet.own_id}});
    if (fleet.left_out != left_out_)
      for (const auto& why : fleet.left_out) agent_.log().warning("left out, nothing can be sent to it: {}", why);
    // Another proxy knows nothing of what the former one was told. One that has not started yet gets it when it has.
    if (told_ && agent_.gateway() != told_) known_.clear();
    told_ = agent_.gateway();
    auto difference = nodes::difference(known_, fleet.nodes);
    const auto changed = difference.changed.size() - difference.added, removed = difference.gone.size();
    json::object counts{
        {"message", fmt::format("{} nodes and {} behind them synced: {} added, {} changed, {} removed, {} left out", fleet.nodes.size(),
                                fleet.subnodes, difference.added, changed, removed, fleet.left_out.size())},
        {"nodes", fleet.nodes.size()},
        {"subnodes", fleet.subnodes},
        {"added", difference.added},
        {"changed", changed},
        {"removed", removed},
        {"left_out", fleet.left_out.size()}};
    if (std::exchange(is_proxy_new_, false)) difference.changed = nodes::difference({}, fleet.nodes).changed;
    if (!difference.changed.empty() || !difference.gone.empty()) agent_.log().info("{}", text_of(&counts["message"]).value());
    // New ways first, so that a node that went behind another one is not unknown in between.
    known_ = std::move(fleet.nodes);
    left_out_ = std::move(fleet.left_out);
    co_await submit_all("REGISTERNODES", std::move(difference.changed));
    co_await submit_all("UNREGISTERNODES", std::move(difference.gone));
    co_return counts;
  }

  // In portions, between which the loop does other work.
  asio::awaitable<void> submit_all(std::string action, json::array list) {
    while (!list.empty()) {
      json::array portion;
      for (auto& node : list) {
        if (portion.size() == portion_max) break;
        portion.push_back(std::move(node));
      }
      list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(portion.size()));
      json::object data{{"source", "nodes"}, {"nodes", std::move(portion)}};
      submit(action, std::move(data));
      co_await asio::post(agent_.loop(), asio::use_awaitable);
    }
  }

  // The log's severity is touched only where the option is set, or was.
  void apply_debug(const DatabaseTable& option) {
    const bool debug = !option.rows.empty() && option.rows[0][0] == "1";
    if (debug == is_debug_) return;
    is_debug_ = debug;
    submit("BCASTLOGGER", {{"content", json::object{{"severity", debug ? "debug" : "default"}}}});
  }

  void submit(const std::string& action, json::object data) {
    Message message{action, {}, {}, Payload(json::value(std::move(data))), {}};
    agent_.submit(std::move(message), [this, action](const Answer& answer) {
      if (answer.code != code::failed) return;
      agent_.log().error("{} was refused, is the proxy module loaded? {}", action, answer.data.text());
      known_.clear();
      told_ = nullptr;
    });
  }

  void tell(Result<json::object>& outcome) {
    const auto problem = outcome ? std::string() : outcome.error().message;
    if (problem != problem_ && !problem.empty())
      agent_.log().error("the nodes cannot be read, those that are known stay; tried again every {} s: {}", after_error.count(), problem);
    if (problem.empty() && !problem_.empty()) agent_.log().info("the nodes can be read from the database again");
    problem_ = problem;
    for (const auto& token : std::exchange(answering_, {}))
      if (outcome)
        end(token, code::finished, *outcome);
      else
        end(token, code::failed, {{"message", "the nodes cannot be read: " + problem}});
  }

  void end(const std::string& token, int code, json::object data) {
    agent_.journal().write(NewRow{token, code, to_text(json::value(std::move(data)))});
  }

  Agent& agent_;
  Database database_;
  std::int64_t resync_;
  asio::steady_timer pause_, started_;
  std::vector<std::string> asking_, answering_;  // tokens
  std::map<std::string, json::object> known_;    // what the proxy was told
  const Gateway* told_ = nullptr;
  bool is_proxy_new_ = false;
  std::vector<std::string> left_out_;
  std::string problem_;
  bool is_debug_ = false;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "nodes";
  info.help =
      "Registers the nodes of Centreon's database (`centreon.database.db_configuration`) with the proxy, for the central: the active "
      "servers, how each is reached, and which are reached through a remote. While it is loaded, the file of the module register counts "
      "only for nodes with `prevail`.";
  info.schema = {
      Option{"resync_time", OptionType::integer, "600", "how often the database is read again; after an error every 10 s"}
          .in("seconds")
          .range(1, 86400),
  };
  info.actions = {{"CENTREONNODESSYNC", "POST", "/centreon/nodes/sync"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<Nodes>(agent, settings); };
  return info;
}

}  // namespace

GORGONE_MODULE(info)
