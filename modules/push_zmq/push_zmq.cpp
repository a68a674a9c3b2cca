// push_zmq: the link that dials a node's listener (docs/protocol.md, Messages). The proxy asks for it by the node's type.

#include <gorgone/module.hpp>

namespace {

using namespace gorgone;

class PushZmq final : public Module, public LinkFactory {
 public:
  explicit PushZmq(Agent& agent) : agent_(agent) {}

  asio::awaitable<void> handle(Message) override { co_return; }
  LinkFactory* link_factory() override { return this; }

  Result<std::unique_ptr<Link>> open(const NodeSpec& node, LinkOwner& owner) override {
    if (node.address.empty()) return Error{"node " + node.id + ": address is missing, expected a host name or an IP address"};
    const bool is_ipv6 = node.address.find(':') != std::string::npos && node.address.front() != '[';
    DialSpec spec;
    spec.endpoint = "tcp://" + (is_ipv6 ? "[" + node.address + "]" : node.address) + ":" + std::to_string(node.port);
    spec.routing_name = "gorgone-proxy-" + agent_.node_id() + "-" + node.id;
    spec.node = node.id;
    spec.server_pubkey = node.server_pubkey;
    spec.client_pubkey = node.client_pubkey;
    spec.client_privkey = node.client_privkey;
    return agent_.dial(spec, owner);
  }

 private:
  Agent& agent_;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "push_zmq";
  info.help =
      "The link to nodes of type push_zmq: connects to the node's listener, greets it and keeps the session. Loaded by the proxy when a "
      "node asks for it; it needs no entry in the configuration.";
  info.offers_links = true;
  info.create = [](Agent& agent, Settings) -> std::unique_ptr<Module> { return std::make_unique<PushZmq>(agent); };
  return info;
}

}  // namespace

GORGONE_MODULE(info)
