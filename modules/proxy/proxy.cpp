// proxy: the table of nodes and the ways to them; whatever is for another node goes through here.

#include <gorgone/module.hpp>

#include <map>
#include <set>
#include <utility>

#include "bulk.hpp"
#include "clock.hpp"
#include "copy_desk.hpp"
#include "foreign_claims.hpp"
#include "node.hpp"
#include "node_sources.hpp"
#include "node_table.hpp"
#include "options.hpp"
#include "outbox.hpp"
#include "paths.hpp"
#include "pull_nodes.hpp"
#include "registration.hpp"
#include "wss_server.hpp"

namespace {

using namespace gorgone;
using proxy::Node;

// Questions: their answers are worth nothing later, so they never enter the outbox.
const std::set<std::string, std::less<>> questions{"PING", "GETLOG", "CONSTATUS", "INFORMATION", "GETTHUMBPRINT", "SYNCLOGS",
                                                   // Pieces of a content sync: their sender repeats what is lost.
                                                   "CONTENTOFFER", "CONTENTMANIFEST", "CONTENTDATA"};
// After a start nodes are still being registered.
constexpr auto starting_time = std::chrono::seconds(10);
constexpr std::size_t delivery_length = 32;

class Proxy final : public Module, public Gateway, private proxy::NodeTable, private proxy::Routes {
 public:
  Proxy(Agent& agent, const Settings& settings)
      : agent_(agent),
        limits_(proxy::read_node_limits(settings)),
        pong_discard_s_(settings.integer("pong_discard_timeout")),
        wss_(agent, proxy::read_wss_options(settings)),
        homeless_(agent, [this](Message& message) { return place(message); }),
        copies_(agent, *this, proxy::read_copy_limits(settings)) {}
  ~Proxy() override { leave(); }

  asio::awaitable<Result<void>> start() override {
    // At once, for the API answers already; messages with registrations wait until the start has ended.
    agent_.set_gateway(this);
    // Before anything new: what waits already is older.
    co_await homeless_.load();
    co_await pull_nodes_.load();
    wss_.start();
    ask_for_nodes();
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    if (message.action == "SYNCLOGS") {
      for (const auto& [id, node] : nodes_) node->fetch_log({}, {});
      co_return;
    }
    const bool add = message.action == "REGISTERNODES";
    const auto data = message.data.json();
    const auto outcome =
        data ? (add ? register_nodes(message.origin, **data) : unregister_nodes(message.origin, **data)) : Result<void>(data.error());
    if (!outcome) {
      agent_.log().error("{}: {}", message.action, outcome.error().message);
      agent_.journal().write(NewRow{message.token, code::failed, to_text(json::value(json::object{{"message", outcome.error().message}}))});
    }
    co_return;
  }

  asio::awaitable<void> stop() override {
    leave();
    copies_.stop();
    co_await wss_.stop();
    for (auto& [id, node] : nodes_) node->leave("proxy - the daemon stopped before node '" + id + "' had taken the message");
    nodes_.clear();
    // What they have posted, and their timers, end while this code is still there.
    co_await asio::post(agent_.loop(), asio::use_awaitable);
  }

  void forward(Message message, Reply reply) override {
    const bool is_passed_on = !message.delivery.empty();
    const auto step = find(message.target);
    if (!step) {
      if (is_passed_on && may_be_known_later(message.origin))
        return refuse(message, reply, Error{"the nodes behind this one are not all known yet", "starting"}, is_passed_on);
      return refuse(message, reply, Error{"unknown target " + printable(message.target), "unknown_target"}, is_passed_on);
    }
    if (message.action == "GETLOG") return answer_log(*step, std::move(message), reply);
    if (message.action == "PING" && step->target.empty()) {
      // With a ping of the node's own, so that CONSTATUS tells what came of it.
      nodes_.at(step->node)->ping();
      if (reply) reply(Answer{"ACK", message.token, 0, Payload("null")});
      return;
    }
    if (message.ttl_s <= 0 || message.ttl_s > proxy::outbox_ttl_max_s) message.ttl_s = limits_.queue.ttl_s;
    const bool is_question = questions.contains(message.action) || proxy::is_loose_bulk(message);
    if (!is_question && !is_passed_on) message.delivery = new_token().substr(0, delivery_length);
    if (!is_question && homeless_.holds_back()) return hold_back(std::move(message), reply, is_passed_on);
    if (copies_.take(message, is_passed_on, reply)) return;
    // The token alone is needed for an answer; the rest goes to the queue, the text of what is kept once more to the outbox.
    const Message answered{message.action, message.token, {}, Payload(), message.origin, message.delivery};
    auto stored = is_question ? StoredMessage() : proxy::stored_message(message, message.ttl_s);
    message.target = step->target;
    const auto queued = nodes_.at(step->node)->accept(std::move(message), is_question);
    if (!queued) return refuse(answered, reply, queued.error(), is_passed_on);
    if (is_question) {
      if (reply) reply(Answer{"ACK", answered.token, 0, Payload("null")});
      return;
    }
    auto kept = [this, answered, reply, node = step->node, is_passed_on, alive = std::weak_ptr<bool>(alive_)](const Result<bool>& is_new) {
      if (alive.expired()) return answer_unloaded(answered.token, reply, is_new.has_value());
      homeless_.stored(answered.delivery, is_new);
      // What was passed on before has been told already, and runs once.
      const auto known = nodes_.find(node);
      if (known != nodes_.end()) known->second->stored(answered.delivery, is_new.has_value() && *is_new);
      if (!is_new) return refuse(answered, reply, proxy::outbox_failure(is_new.error()), is_passed_on);
      if (reply) reply(Answer{"ACK", answered.token, 0, Payload("null")});
    };
    agent_.journal().store_outgoing(std::move(stored), is_passed_on, std::move(kept));
  }

  // Behind what the outbox may hold, which cannot be read yet.
  void hold_back(Message message, const Reply& reply, bool is_passed_on) {
    auto stored = proxy::stored_message(message, message.ttl_s);
    auto kept = [this, message, reply, is_passed_on, alive = std::weak_ptr<bool>(alive_)](const Result<bool>& is_new) {
      if (alive.expired()) return answer_unloaded(message.token, reply, is_new.has_value());
      homeless_.stored(message.delivery, is_new);
      if (!is_new) return refuse(message, reply, proxy::outbox_failure(is_new.error()), is_passed_on);
      if (*is_new) homeless_.hold(message);
      if (reply) reply(Answer{"ACK", message.token, 0, Payload("null")});
    };
    agent_.journal().store_outgoing(std::move(stored), is_passed_on, std::move(kept));
  }

  bool hold(Message& message, Reply& reply) override { return copies_.take_own(message, reply, limits_.queue.ttl_s, false); }
  bool hold_once(Message& message, Reply& reply) override { return copies_.take_own(message, reply, limits_.queue.ttl_s, true); }

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

  bool has_feature(const std::string& target, const std::string& feature) const override {
    const auto step = find(target);
    if (!step) return false;
    const auto& node = *nodes_.at(step->node);
    return step->target.empty() ? node.has_feature(feature) : proxy::has_feature_behind(node.subnodes(), step->target, feature);
  }

 private:
  // After a start a target may be behind a node that has not said yet what is behind it, or in a database that could not be read yet.
  // Another daemon keeps meanwhile what it passes on, for as long as that may wait.
  bool may_be_known_later(const Origin& origin) const {
    if (std::chrono::steady_clock::now() < started_ + starting_time) return true;
    if (origin.kind == Origin::Kind::internal || origin.kind == Origin::Kind::api) return false;
    if (database_is_there() && !is_database_read_) return true;
    return std::ranges::any_of(nodes_, [](const auto& node) { return !node.second->has_ponged(); });
  }

  // The module nodes is there where its action is.
  bool database_is_there() const { return agent_.endpoint("POST", "/centreon/nodes/sync").has_value(); }

  // Whoever passes a message on keeps it while this one is busy; anybody else learns of it by the answer and a row.
  void refuse(const Message& message, const Reply& reply, const Error& why, bool is_passed_on) {
    const bool comes_again = is_passed_on && is_refused_for_now(why.code);
    const Payload data(json::value(json::object{{"error", why.code}, {"message", "proxy - " + why.message}}));
    // The sender of a piece learns it by the answer and repeats it; a row could end what it is a piece of.
    const bool is_piece = proxy::is_content_piece(message.action) || (reply && proxy::is_loose_bulk(message));
    if (!comes_again && !is_piece) agent_.journal().write(NewRow{message.token, code::failed, data.text()});
    if (reply) reply(Answer{"ACK", message.token, 1, data});
  }

  // Unloaded meanwhile; where the outbox has it, it is there for the next one.
  static void answer_unloaded(const std::string& token, const Reply& reply, bool is_kept) {
    if (!reply) return;
    const Payload why(json::value(json::object{{"error", "stopping"}, {"message", "proxy - the module was unloaded"}}));
    reply(is_kept ? Answer{"ACK", token, 0, Payload("null")} : Answer{"ACK", token, 1, why});
  }

  // A message of the outbox, from before the start or of a node that was not known.
  bool place(Message& message) {
    const bool is_own = message.target.empty() || message.target == agent_.node_id();
    const auto step = find(message.target);
    if (!step && !is_own) return false;
    if (copies_.restore(message)) return true;
    Message copy = message;
    copy.target = step->target;
    return nodes_.at(step->node)->accept(std::move(copy), true).has_value();
  }

  // Whoever is loaded already may have told them to the proxy that was here before.
  void ask_for_nodes() {
    for (const auto* path : {"/core/register/resync", "/centreon/nodes/sync"})
      if (const auto knows = agent_.endpoint("POST", path)) agent_.submit(Message{knows->action, {}, {}, Payload(), {}});
  }

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
    const auto is_alive = [&](const std::string& id) {
      const auto node = nodes_.find(id);
      return node != nodes_.end() && !node->second->is_away() && node->second->has_ponged_within(pong_discard_s_);
    };
    auto step = paths_.find(target, is_alive);
    // What the configuration calls a node is that node's name, whatever another one says is behind it.
    if (const auto id = sources_.id_of(target); id != target && !(step && step->is_configured))
      if (auto named = paths_.find(id, is_alive)) step = std::move(named);
    if (step && !nodes_.contains(step->node)) return {};
    return step;
  }

  // A parent asks for the log of one of our nodes: it is fetched, then answered from our own journal.
  void answer_log(const proxy::Paths::Step& step, Message message, const Reply& reply) {
    message.target.clear();
    auto shared = std::make_shared<Message>(std::move(message));
    nodes_.at(step.node)->fetch_log(step.target, [this, shared, reply](const Result<void>&) { agent_.submit(std::move(*shared), reply); });
  }

  Result<void> register_nodes(const Origin& origin, const json::value& data) {
    if (origin.kind == Origin::Kind::client) return pull_nodes_.register_by(origin.id, data);
    if (origin.kind == Origin::Kind::internal) {
      const auto nodes = proxy::nodes_of(data);
      if (!nodes) return nodes.error();
      const auto source = source_of(data);
      if (source == proxy::NodeSources::Source::database) is_database_read_ = true;
      apply_sources(sources_.put(source, sound(**nodes)));
      return {};
    }
    auto list = proxy::read_registration(data);
    if (!list) return list.error();
    for (const auto& entry : *list) pull_nodes_.listed(entry.spec.id);
    register_all(std::move(*list));
    return {};
  }

  static proxy::NodeSources::Source source_of(const json::value& data) {
    using Source = proxy::NodeSources::Source;
    return text_of(member(data, "source")) == "nodes" ? Source::database : Source::file;
  }

  // One that makes no sense is told, and does not keep out the others.
  json::array sound(const json::array& nodes) const {
    json::array sound;
    for (const auto& node : nodes) {
      const auto read = proxy::read_node(node);
      if (read)
        sound.push_back(node);
      else
        agent_.log().error("REGISTERNODES: {}", read.error().message);
    }
    return sound;
  }

  void apply_sources(proxy::NodeSources::Ids touched) {
    const bool database_decides = database_is_there();
    if (std::exchange(database_decides_, database_decides) != database_decides) touched = sources_.ids();
    const auto registered = sources_.registered(touched, database_decides);
    std::vector<proxy::Registration> list;
    for (const auto& [id, node] : registered) {
      auto entry = proxy::read_node(node);
      if (!entry) continue;
      pull_nodes_.listed(id);
      sourced_.insert(id);
      list.push_back(std::move(*entry));
    }
    register_now(std::move(list));
    for (const auto& id : touched)
      if (!registered.contains(id) && sourced_.erase(id) > 0) unregister(id);
  }

  void register_all(std::vector<proxy::Registration> list) override {
    std::erase_if(list, [this](const proxy::Registration& entry) {
      const bool prevails = sources_.prevails(entry.spec.id);
      if (prevails) agent_.log().debug("node '{}': a registration that prevails is kept", entry.spec.id);
      return prevails;
    });
    register_now(std::move(list));
  }

  void register_now(std::vector<proxy::Registration> list) {
    for (auto& entry : list) {
      const std::string id = entry.spec.id;
      pull_nodes_.complete(entry.spec);
      const bool is_new = paths_.add_node(id), has_others = paths_.set_static(id, entry.subnodes);
      if (is_new || has_others) ways_changed();
      const auto known = nodes_.find(id);
      if (known == nodes_.end()) {
        agent_.log().info("node '{}' registered type={} address={}:{}", printable(id), entry.spec.type, printable(entry.spec.address),
                          entry.spec.port);
        auto told = [this](const std::string& node, const Message& message) { on_told(node, message); };
        auto open = [this](const NodeSpec& spec, LinkOwner& owner) { return open_link(spec, owner); };
        auto node = std::make_unique<Node>(agent_, std::move(entry.spec), limits_, std::move(open), std::move(told), copies_);
        node->when_away([this, id](bool is_away) { on_away(id, is_away); });
        nodes_.emplace(id, std::move(node));
        if (paths_.is_parent(id)) missing_parents_.insert(id);
      } else if (!(known->second->spec() == entry.spec) || !known->second->has_link()) {
        agent_.log().info("node '{}' changed type={} address={}:{}", printable(id), entry.spec.type, printable(entry.spec.address),
                          entry.spec.port);
        known->second->change(std::move(entry.spec));
      }
    }
    homeless_.settle();
  }

  Result<void> unregister_nodes(const Origin& origin, const json::value& data) {
    if (origin.kind == Origin::Kind::client) return pull_nodes_.unregister_by(origin.id, data);
    auto list = proxy::read_ids(data);
    if (!list) return list.error();
    if (origin.kind == Origin::Kind::internal) {
      apply_sources(sources_.remove(source_of(data), *list));
      return {};
    }
    for (const auto& id : *list) unregister(id);
    return {};
  }

  // proxy::Routes
  std::optional<proxy::Paths::Step> step_to(const std::string& target) const override { return find(target); }
  Node* node_of(const std::string& id) const override {
    const auto known = nodes_.find(id);
    return known == nodes_.end() ? nullptr : known->second.get();
  }
  bool target_has(const std::string& target, const std::string& feature) const override { return has_feature(target, feature); }
  void refuse_message(const Message& message, const Reply& reply, const Error& why, bool is_passed_on) override {
    refuse(message, reply, why, is_passed_on);
  }
  void keep(Message message, std::int64_t left_s) override { homeless_.add(std::move(message), left_s); }
  void stored(const std::string& delivery, const Result<bool>& is_new) override { homeless_.stored(delivery, is_new); }

  // proxy::NodeTable
  std::optional<NodeSpec> spec_of(const std::string& id) const override {
    const auto known = nodes_.find(id);
    return known == nodes_.end() ? std::nullopt : std::optional(known->second->spec());
  }
  std::string id_of(const std::string& name) const override { return nodes_.contains(name) ? name : sources_.id_of(name); }
  void change(NodeSpec spec) override {
    const auto known = nodes_.find(spec.id);
    if (known != nodes_.end()) known->second->change(std::move(spec));
  }
  void learn(const std::string& parent, const std::string& id) override {
    if (paths_.learn(parent, id)) ways_changed();
    homeless_.settle();
  }
  void unlearn(const std::string& parent, const std::string& id) override {
    if (paths_.forget(parent, id)) ways_changed();
  }

  void unregister(const std::string& id) override {
    const auto known = nodes_.find(id);
    if (known == nodes_.end()) return;
    paths_.remove_node(id);
    // What another node leads to now goes there.
    std::vector<Message> moved;
    auto rescue = [&](Message& message) {
      if (message.target.empty()) message.target = id;
      const auto step = find(message.target);
      if (!step || step->node == id) return false;
      moved.push_back(std::move(message));
      return true;
    };
    known->second->abandon("proxy - node '" + id + "' was unregistered", rescue);
    nodes_.erase(known);
    missing_parents_.erase(id);
    foreign_claims_.forget(id);
    for (auto& message : moved) {
      const auto left_s = message.ttl_s;
      homeless_.add(std::move(message), left_s);
    }
    homeless_.settle();
    pull_nodes_.unregistered(id);
    agent_.log().info("node '{}' unregistered", printable(id));
  }

  void on_told(const std::string& node, const Message& message) {
    const bool is_bound = nodes_.at(node)->is_bound(), is_other = paths_.set_bound(node, is_bound);
    if (proxy::learn(paths_, node, message) || is_other) {
      homeless_.settle();
      ways_changed();
    }
    if (!is_bound && foreign_claims_.is_due(node, proxy::now_s())) {
      const auto claims = paths_.refused(node, [this](const std::string& id) { return sources_.id_of(id); });
      if (const auto line = foreign_claims_.line(node, claims)) agent_.log().warning("{}", *line);
    }
    // It leads to its nodes from its first pong on.
    if (missing_parents_.empty() || message.action != "PONG" || !paths_.is_parent(node)) return;
    missing_parents_.erase(node);
    for (const auto& parent : missing_parents_) move_from(parent);
  }

  void on_away(const std::string& id, bool is_away) {
    if (!is_away || !paths_.is_parent(id)) {
      missing_parents_.erase(id);
      return;
    }
    missing_parents_.insert(id);
    move_from(id);
  }

  // What waits for a node that is reached another way now goes there, once for all that changes together.
  void ways_changed() {
    if (std::exchange(is_moving_, true)) return;
    asio::post(agent_.loop(), [this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      is_moving_ = false;
      for (const auto& [id, node] : nodes_)
        if (node->has_targets()) move_from(id);
    });
  }

  // What waits for a parent goes by another one that leads to the same node, or straight to it.
  void move_from(const std::string& parent) {
    const auto known = nodes_.find(parent);
    if (known == nodes_.end()) return;
    std::map<std::string, bool> elsewhere;  // targets
    auto moved = known->second->hand_over([&](const Message& message) {
      const auto [entry, is_new] = elsewhere.try_emplace(message.target, false);
      if (is_new) {
        const auto step = find(message.target);
        entry->second = step && step->node != parent;
      }
      return entry->second;
    });
    if (moved.empty()) return;
    agent_.log().notice("{} messages that waited for node '{}', for nodes behind it, go another way", moved.size(), printable(parent));
    for (auto& message : moved) {
      const auto left_s = message.ttl_s;
      homeless_.add(std::move(message), left_s);
    }
    homeless_.settle();
  }

  Agent& agent_;
  proxy::NodeLimits limits_;
  std::int64_t pong_discard_s_;
  proxy::Paths paths_;
  proxy::NodeSources sources_;
  proxy::ForeignClaims foreign_claims_;
  std::set<std::string> sourced_;          // registered because of them
  std::set<std::string> missing_parents_;  // that have nodes behind them and are away, or have not been there yet
  bool database_decides_ = false, is_database_read_ = false;
  bool is_moving_ = false;  // soon
  proxy::WssServer wss_;    // before the nodes, which hold links of it
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  proxy::Homeless homeless_;
  proxy::CopyDesk copies_;
  proxy::PullNodes pull_nodes_{agent_, *this};
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "proxy";
  info.help =
      "Owns the table of nodes: routes messages to them by their links, pings them, fetches their logs and tells their state (CONSTATUS). "
      "A message for another node is in the outbox, a table of the journal, before its acceptance is told, and leaves it when the node "
      "has taken it or its time is up.";
  info.schema = proxy::schema();
  info.check = proxy::check_wss_options;
  info.actions = {{"REGISTERNODES"}, {"UNREGISTERNODES"}, {"SYNCLOGS"}, {"REMOTECOPY", "POST", "/core/proxy/remotecopy"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<Proxy>(agent, settings); };
  return info;
}

}  // namespace

GORGONE_MODULE(info)
