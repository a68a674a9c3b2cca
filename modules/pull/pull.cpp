// pull: the way to nodes that dial (docs/protocol.md). On the node it keeps the connection to the parent; on the parent it is the link
// to such nodes, which the proxy asks for by their type. A relay is both.

#include <gorgone/module.hpp>

#include <charconv>

#include "node_link.hpp"
#include "parent.hpp"

namespace {

using namespace gorgone;

// "host:port" or "[IPv6]:port".
bool is_host_and_port(const std::string& path) {
  const auto colon = path.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  const auto host = path.substr(0, colon);
  if (host.find_first_of("/ ") != std::string::npos || (host.find(':') != std::string::npos && host.front() != '[')) return false;
  unsigned port = 0;
  const auto* last = path.data() + path.size();
  const auto [end, error] = std::from_chars(path.data() + colon + 1, last, port);
  return error == std::errc{} && end == last && port >= 1 && port <= 65535;
}

std::string wrong_path(const Settings& settings) {
  const auto path = settings.text("target_path");
  if (path.empty() || is_host_and_port(path)) return {};
  return "modules.pull.target_path: got \"" + path + "\" (" + settings.where("target_path").text() +
         "), expected host:port, such as \"192.0.2.1:5556\" or \"[2001:db8::1]:5556\"";
}

// What the node calls itself: its id, or its uid where its session was opened under that.
std::string own_name(const NodeSpec& node) {
  const auto uid = text_of(node.extra.if_contains("uid")).value_or("");
  return !uid.empty() && node.identity.starts_with("gorgone-" + uid + "-") ? uid : node.id;
}

class Pull final : public Module, public LinkFactory {
 public:
  Pull(Agent& agent, Settings settings) : agent_(agent), settings_(std::move(settings)) {}

  asio::awaitable<Result<void>> start() override { co_return dial(); }
  asio::awaitable<void> handle(Message) override { co_return; }
  asio::awaitable<void> stop() override {
    if (parent_) co_await parent_->stop();
  }

  LinkFactory* link_factory() override { return this; }
  Result<std::unique_ptr<Link>> open(const NodeSpec& node, LinkOwner& owner) override {
    auto link = agent_.client_link(node.identity, owner);
    if (!link) return Error{"node " + node.id + " of type pull dials: " + link.error().message};
    return std::unique_ptr<Link>(std::make_unique<pull::NodeLink>(std::move(*link), own_name(node)));
  }

 private:
  Result<void> dial() {
    if (settings_.text("target_path").empty()) return {};
    if (const auto wrong = wrong_path(settings_); !wrong.empty()) return Error{wrong};
    if (agent_.node_id().empty()) return Error{"gorgonecore.id is missing: a node that dials its parent registers by it"};
    DialSpec spec;
    spec.endpoint = "tcp://" + settings_.text("target_path");
    spec.routing_name = "gorgone-" + agent_.node_id();
    spec.server_pubkey = settings_.text("server_pubkey");
    spec.client_pubkey = settings_.text("client_pubkey");
    spec.client_privkey = settings_.text("client_privkey");
    pull::Keepalive::Limits limits;
    limits.ping_s = settings_.integer("ping");
    limits.answer_s = settings_.integer("ping_timeout");
    parent_ = std::make_unique<pull::Parent>(agent_, std::move(spec), limits);
    return parent_->start();
  }

  Agent& agent_;
  Settings settings_;
  std::unique_ptr<pull::Parent> parent_;
};

std::vector<Problem> check_path(const Settings& settings) {
  std::vector<Problem> problems;
  if (auto wrong = wrong_path(settings); !wrong.empty()) problems.push_back({Problem::Severity::error, std::move(wrong)});
  return problems;
}

ModuleInfo info() {
  ModuleInfo info;
  info.name = "pull";
  info.help =
      "For nodes that dial their central, because it cannot dial them. On the node, with `target_path`: connects to the central's "
      "listener, "
      "registers there and takes work from it. On the central it is the link to such nodes; the proxy loads it when a node asks for it, "
      "and "
      "it needs no entry in the configuration.";
  info.schema = {
      Option{"target_type", OptionType::text, "tcp", "how the central is reached"}.one_of({"tcp"}),
      Option{"target_path", OptionType::text, "", "host:port of the central's listener; without it this node dials nobody"},
      Option{"ping", OptionType::integer, "60", "how often the central is pinged"}.in("seconds").range(1, 86400),
      Option{"ping_timeout", OptionType::integer, "30",
             "when nothing has come from the central for so long after a ping, the connection is made anew with a new session"}
          .in("seconds")
          .range(1, 3600),
      Option{"client_pubkey", OptionType::path, "", "public key to show to the central in place of the agent's own"},
      Option{"client_privkey", OptionType::path, "", "private key to use with the central in place of the agent's own"},
      Option{"server_pubkey", OptionType::path, "", "the central's public key; without it the central is asked for it"},
  };
  info.offers_links = true;
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> {
    return std::make_unique<Pull>(agent, std::move(settings));
  };
  info.check = check_path;
  return info;
}

}  // namespace

GORGONE_MODULE(info)
