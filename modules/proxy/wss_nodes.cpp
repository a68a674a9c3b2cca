#include "wss_nodes.hpp"

#include <gorgone/wss_text.hpp>

namespace gorgone::proxy {

void WssNode::attach(std::shared_ptr<WebSocket> connection, bool shows_its_own) {
  if (socket) detach(socket, Error{"another connection of the node has taken its place", down::lost});
  is_bound = shows_its_own;
  socket = std::move(connection);
  if (link) link->connected();
}

void WssNode::detach(const std::shared_ptr<WebSocket>& connection, const Error& why) {
  if (socket != connection) return;
  socket.reset();
  if (link) link->disconnected(why);
}

void WssNode::receive(Message message) {
  if (link) link->owner().link_received(std::move(message));
}

void WssNode::offer_refused(const Error& why) {
  if (link && !socket) link->offer_refused(why);
}

std::unique_ptr<Link> WssNodes::open(const NodeSpec& spec, LinkOwner& owner) {
  auto& node = by_id_[spec.id];
  if (!node) node = std::make_shared<WssNode>();
  node->id = spec.id;
  for (const auto& name : node->names) ids_.erase(name);
  node->names = {spec.id};
  const auto* uid = spec.extra.if_contains("uid");
  if (const auto text = text_of(uid); text && !text->empty() && *text != spec.id) {
    node->names.push_back(*text);
    ids_[*text] = spec.id;
  }
  return std::make_unique<WssLink>(*this, node, owner);
}

std::shared_ptr<WssNode> WssNodes::find(const std::string& name) const {
  auto found = by_id_.find(name);
  if (found == by_id_.end())
    if (const auto alias = ids_.find(name); alias != ids_.end()) found = by_id_.find(alias->second);
  return found == by_id_.end() ? nullptr : found->second;
}

// A changed node gets another link at once; one that has none by the next turn of the loop is not registered any more.
void WssNodes::released(const std::shared_ptr<WssNode>& node) {
  asio::post(loop_, [this, node, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || node->link) return;
    if (node->socket) node->socket->end(wss::write_refusal("node '" + node->id + "' is not registered any more"), 1008, "not registered");
    for (const auto& name : node->names) ids_.erase(name);
    by_id_.erase(node->id);
  });
}

WssLink::WssLink(WssNodes& nodes, std::shared_ptr<WssNode> node, LinkOwner& owner) : nodes_(nodes), node_(std::move(node)), owner_(owner) {
  node_->link = this;
  asio::post(nodes_.loop_, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    if (is_up())
      connected();
    else
      owner_.link_down(Error{"the node has not connected yet", down::awaited});
  });
}

WssLink::~WssLink() {
  node_->link = nullptr;
  nodes_.released(node_);
}

Result<void> WssLink::send(const Message& message) {
  if (!is_up()) return Error{"node '" + node_->id + "' is not connected"};
  if (node_->socket->send(wss::write_request(message))) return {};
  return Error{"node '" + node_->id + "' has not read yet what was sent before", "busy"};
}

void WssLink::reset(const std::string& why) {
  is_mute_ = node_->socket != nullptr;
  if (node_->socket) node_->socket->cut(why);
}

void WssLink::connected() {
  if (std::exchange(is_told_up_, true)) return;
  node_->socket->on_room([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) owner_.link_has_room();
  });
  owner_.link_up();
}

void WssLink::disconnected(Error why) {
  is_told_up_ = false;
  if (std::exchange(is_mute_, false))
    why.code = down::mute;
  else if (why.code.empty())
    why.code = down::lost;
  owner_.link_down(why);
}

}  // namespace gorgone::proxy
