#pragma once
// The nodes that may connect by a WebSocket, with the connection that each has. A node is known while the proxy holds a link to it;
// its connection outlives a link that is only made anew. On the loop.

#include <gorgone/agent.hpp>
#include <gorgone/flow_watch.hpp>
#include <gorgone/web_socket.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gorgone::proxy {

class WssLink;

struct WssNode {
  std::string id;
  std::vector<std::string> names;  ///< its id, and its uid where it has one
  WssLink* link = nullptr;
  std::shared_ptr<WebSocket> socket;
  bool is_bound = false;   ///< who speaks for it has shown something that is its own
  bool is_probed = false;  ///< its connection is being pinged for somebody who would take its place

  bool is_connected() const { return socket && socket->is_open(); }
  /// A connection speaks for the node from now on.
  void attach(std::shared_ptr<WebSocket> connection, bool shows_its_own);
  /// It does not any more; nothing where another one does.
  void detach(const std::shared_ptr<WebSocket>& connection, const Error& why);
  void receive(Message message);
  /// Somebody who says he is the node was not let in: told beside what keeps it away, while it is.
  void offer_refused(const Error& why);
};

class WssNodes {
 public:
  explicit WssNodes(asio::io_context& loop) : loop_(loop) {}

  std::unique_ptr<Link> open(const NodeSpec& spec, LinkOwner& owner);
  /// By id or uid, empty where it is unknown.
  std::shared_ptr<WssNode> find(const std::string& name) const;
  bool empty() const { return by_id_.empty(); }

 private:
  friend class WssLink;
  void released(const std::shared_ptr<WssNode>& node);

  asio::io_context& loop_;
  std::map<std::string, std::shared_ptr<WssNode>> by_id_;
  std::map<std::string, std::string> ids_;  // of uids
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// The link over a node's WebSocket, whichever it has.
class WssLink final : public Link, public HasFlow {
 public:
  WssLink(WssNodes& nodes, std::shared_ptr<WssNode> node, LinkOwner& owner);
  ~WssLink() override;

  Result<void> send(const Message& message) override;
  void reset(const std::string& why) override;
  bool is_up() const override { return node_->is_connected(); }
  bool answers_requests() const override { return false; }
  bool is_bound() const override { return node_->is_bound; }
  std::string identity() const override { return node_->id; }
  LinkFlow flow() const override { return flow_of(node_->socket.get()); }

  void connected();
  void disconnected(Error why);
  void offer_refused(const Error& why) { owner_.offer_refused(why); }
  LinkOwner& owner() { return owner_; }

 private:
  WssNodes& nodes_;
  std::shared_ptr<WssNode> node_;
  LinkOwner& owner_;
  bool is_told_up_ = false, is_mute_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
