// proxy: the table of nodes and the ways to them; whatever is for another node goes through here.

#include <gorgone/module.hpp>

#include <ctime>
#include <map>

#include "node.hpp"
#include "paths.hpp"
#include "registration.hpp"
#include "wss_server.hpp"

namespace {

using namespace gorgone;
using proxy::Node;

class Proxy final : public Module, public Gateway {
 public:
  Proxy(Agent& agent, const Settings& settings)
      : agent_(agent), pong_discard_s_(settings.integer("pong_discard_timeout")), wss_(agent, proxy::read_wss_options(settings)) {
    limits_.ping.interval_s = settings.integer("ping");
    limits_.ping.lost_max = static_cast<int>(settings.integer("pong_max_timeout"));
    limits_.fetch_every_s = settings.integer("synchistory_time");
    limits_.fetch_answer_s = settings.integer("synchistory_timeout");
    limits_.queue.messages = static_cast<std::size_t>(settings.integer("queue_messages"));
    limits_.queue.bytes = static_cast<std::size_t>(settings.integer("queue_bytes"));
    limits_.queue.ttl_s = settings.integer("outbox_ttl");
  }
  ~Proxy() override { leave(); }

  asio::awaitable<Result<void>> start() override {
    agent_.set_gateway(this);
    wss_.start();
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    const bool add = message.action == "REGISTERNODES";
    const auto data = message.data.json();
    const auto outcome = data ? (add ? register_nodes(**data) : unregister_nodes(**data)) : Result<void>(data.error());
    if (!outcome) {
      agent_.log().error("{}: {}", message.action, outcome.error().message);
      agent_.journal().write(NewRow{message.token, code::failed, to_text(json::value(json::object{{"message", outcome.error().message}}))});
    }
    co_return;
  }

  asio::awaitable<void> stop() override {
    leave();
    co_await wss_.stop();
    for (auto& [id, node] : nodes_) node->abandon("proxy - the daemon stopped before node '" + id + "' had taken the message");
    nodes_.clear();
    // What they have posted, and their timers, end while this code is still there.
    co_await asio::post(agent_.loop(), asio::use_awaitable);
  }

  void forward(Message message, Reply reply) override {
    auto refuse = [&](const std::string& code, const std::string& why) {
      const Payload data(json::value(json::object{{"error", code}, {"message", why}}));
      agent_.journal().write(NewRow{message.token, code::failed, data.text()});
      if (reply) reply(Answer{"ACK", message.token, 1, data});
    };
    const auto step = find(message.target);
    if (!step) return refuse("unknown_target", "proxy - unknown target " + printable(message.target));
    if (message.action == "GETLOG") return answer_log(*step, std::move(message), reply);
    message.target = step->target;
    const auto token = message.token;
    // Refusing needs the message no more than its token, so it may be moved away.
    auto taken = nodes_.at(step->node)->accept(std::move(message));
    message.token = token;
    if (!taken) return refuse(taken.error().code, "proxy - " + taken.error().message);
    if (reply) reply(Answer{"ACK", token, 0, Payload("null")});
  }

  json::object constatus() const override {
    json::object all;
    for (const auto& [id, node] : nodes_) all[id] = node->constatus();
    return all;
  }

  void fetch_log(const std::string& target, std::function<void(Result<void>)> done) override {
    const auto step = find(target);
    if (!step) return done(Error{"proxy - unknown target " + printable(target)});
    nodes_.at(step->node)->fetch_log(step->target, std::move(done));
  }

  bool knows(const std::string& target) const override { return find(target).has_value(); }

 private:
  void leave() {
    if (agent_.gateway() == this) agent_.set_gateway(nullptr);
  }

  Result<std::unique_ptr<Link>> open_link(const NodeSpec& spec, LinkOwner& owner) {
    if (proxy::WssServer::serves(spec.type)) return wss_.open(spec, owner);
    const auto factory = agent_.link_factory(spec.type);
    if (!factory) return factory.error();
    return (*factory)->open(spec, owner);
  }

  std::optional<proxy::Paths::Step> find(const std::string& target) const {
    const auto oldest = static_cast<std::int64_t>(std::time(nullptr)) - pong_discard_s_;
    auto step = paths_.find(target, [&](const std::string& id) {
      const auto node = nodes_.find(id);
      return node != nodes_.end() && node->second->last_pong() >= oldest;
    });
    if (step && !nodes_.contains(step->node)) return {};
    return step;
  }

  // A parent asks for the log of one of our nodes: it is fetched, then answered from our own journal.
  void answer_log(const proxy::Paths::Step& step, Message message, const Reply& reply) {
    message.target.clear();
    auto shared = std::make_shared<Message>(std::move(message));
    nodes_.at(step.node)->fetch_log(step.target, [this, shared, reply](const Result<void>&) { agent_.submit(std::move(*shared), reply); });
  }

  Result<void> register_nodes(const json::value& data) {
    auto list = proxy::read_registration(data);
    if (!list) return list.error();
    for (auto& entry : *list) {
      const std::string id = entry.spec.id;
      const bool prevails = prevailing_.contains(id);
      if (prevails && !entry.prevail) {
        agent_.log().debug("node '{}': a registration that prevails is kept", id);
        continue;
      }
      if (entry.prevail) prevailing_.insert(id);
      paths_.add_node(id);
      paths_.set_static(id, entry.subnodes);
      const auto known = nodes_.find(id);
      if (known == nodes_.end()) {
        agent_.log().info("node '{}' registered type={} address={}:{}", printable(id), entry.spec.type, printable(entry.spec.address),
                          entry.spec.port);
        auto told = [this](const std::string& node, const Message& message) { on_told(node, message); };
        auto open = [this](const NodeSpec& spec, LinkOwner& owner) { return open_link(spec, owner); };
        nodes_.emplace(id, std::make_unique<Node>(agent_, std::move(entry.spec), limits_, std::move(told), std::move(open)));
      } else if (!(known->second->spec() == entry.spec) || !known->second->has_link()) {
        agent_.log().info("node '{}' changed type={} address={}:{}", printable(id), entry.spec.type, printable(entry.spec.address),
                          entry.spec.port);
        known->second->change(std::move(entry.spec));
      }
    }
    return {};
  }

  Result<void> unregister_nodes(const json::value& data) {
    auto list = proxy::read_ids(data);
    if (!list) return list.error();
    for (const auto& id : *list) {
      const auto known = nodes_.find(id);
      if (known == nodes_.end()) continue;
      known->second->abandon("proxy - node '" + id + "' was unregistered");
      nodes_.erase(known);
      paths_.remove_node(id);
      prevailing_.erase(id);
      agent_.log().info("node '{}' unregistered", printable(id));
    }
    return {};
  }

  // A node's own nodes are reached through it.
  void on_told(const std::string& node, const Message& message) {
    const auto parsed = message.data.json();
    if (!parsed) return;
    if (message.action == "PONG") {
      const auto* inner = member(**parsed, "data");
      const auto* nodes = inner ? member(*inner, "data") : nullptr;
      if (!nodes || !nodes->is_object()) return;
      std::set<std::string> ids;
      for (const auto& [id, state] : nodes->get_object()) ids.insert(std::string(id));
      paths_.set_learned(node, std::move(ids));
      return;
    }
    const auto ids = proxy::read_ids(**parsed);
    if (!ids) return;
    for (const auto& id : *ids) {
      if (message.action == "REGISTERNODES")
        paths_.learn(node, id);
      else
        paths_.forget(node, id);
    }
  }

  Agent& agent_;
  proxy::NodeLimits limits_;
  std::int64_t pong_discard_s_;
  proxy::Paths paths_;
  std::set<std::string> prevailing_;
  proxy::WssServer wss_;  // before the nodes, which hold links of it
  std::map<std::string, std::unique_ptr<Node>> nodes_;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "proxy";
  info.help =
      "Owns the table of nodes: routes messages to them by their links, pings them, fetches their logs and tells their state (CONSTATUS). "
      "A message for a node that is away waits in memory until the node is back or its time is up.";
  info.schema = {
      Option{"ping", OptionType::integer, "60", "how often each node is pinged; the first time at once"}.in("seconds").range(1, 86400),
      Option{"pong_max_timeout", OptionType::integer, "3",
             "after so many pings without an answer, each waited for 10 s, the connection is made anew"}
          .range(1, 1000),
      Option{"pong_discard_timeout", OptionType::integer, "300",
             "a parent that has not answered for so long is passed over while another one leads to the target"}
          .in("seconds")
          .range(1, 86400),
      Option{"synchistory_time", OptionType::integer, "60", "how often the log of each node is fetched when nobody asks for it"}
          .in("seconds")
          .range(1, 86400),
      Option{"synchistory_timeout", OptionType::integer, "30", "how long a node may take to send its log"}.in("seconds").range(1, 3600),
      Option{"outbox_ttl", OptionType::integer, "3600",
             "how long a message waits for a node that is away; then it is a history row with code 1"}
          .in("seconds")
          .range(1, 604800),
      Option{"queue_messages", OptionType::integer, "10000", "messages that may wait for one node; more are refused as busy"}.range(
          1, 10000000),
      Option{"queue_bytes", OptionType::integer, "268435456", "bytes that may wait for one node; more are refused as busy"}
          .in("bytes")
          .range(65536, 17179869184.0),
      Option{"buffer_size", OptionType::integer, "150000", "bytes of a file in one message of a remote copy"}
          .in("bytes")
          .range(1024, 10485760)
          .ignored(),
      Option{"pool", OptionType::integer, "5", "processes of a deployed proxy"}.ignored(),
  };
  for (auto& option : proxy::wss_schema()) info.schema.push_back(std::move(option));
  info.check = proxy::check_wss_options;
  info.actions = {{"REGISTERNODES"}, {"UNREGISTERNODES"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<Proxy>(agent, settings); };
  return info;
}

}  // namespace

GORGONE_MODULE(info)
