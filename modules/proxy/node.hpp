#pragma once
// One node that the proxy knows: its link, the messages for it, its pings and the fetching of its log. A node costs nobody but
// itself: it has one timer and its own queue. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_queue.hpp"
#include "ping_watch.hpp"

namespace gorgone::proxy {

struct NodeLimits {
  NodeQueue::Limits queue;
  PingWatch::Limits ping;
  std::int64_t fetch_every_s = 60;
  std::int64_t fetch_answer_s = 30;
};

class Node final : public LinkOwner {
 public:
  /// Messages of the node that are the proxy's business: PONG, REGISTERNODES, UNREGISTERNODES.
  using Told = std::function<void(const std::string& node, const Message& message)>;

  /// The way to a node, by its type.
  using OpenLink = std::function<Result<std::unique_ptr<Link>>(const NodeSpec& spec, LinkOwner& owner)>;

  Node(Agent& agent, NodeSpec spec, const NodeLimits& limits, Told told, OpenLink open_link);
  ~Node() override;

  const NodeSpec& spec() const { return spec_; }
  /// Another address, port or key: the link is made anew, the queue stays.
  void change(NodeSpec spec);

  /// Queues a message and sends it as soon as the link allows; an Error where the queue is full.
  Result<void> accept(Message message);
  /// See Gateway::fetch_log; `subnode` is empty for the node's own log.
  void fetch_log(const std::string& subnode, std::function<void(Result<void>)> done);
  /// Ends the link and gives up what is queued, with a history row for each; the last call before the end.
  void abandon(const std::string& why);

  bool has_link() const { return link_ != nullptr; }
  bool is_up() const { return link_ && link_->is_up(); }
  json::object constatus() const;
  /// Wall time of the last pong in seconds, 0 where there was none.
  std::int64_t last_pong() const { return pings_.last_pong().value_or(0); }

  void link_up() override;
  void link_down(const Error& why) override;
  void link_has_room() override { flush(); }
  void link_received(Message message) override;

 private:
  void open();
  void flush();
  void watch_answers();
  void resend_if_lost();
  void arm();
  void on_clock();
  void send_ping();
  void start_fetch();
  void ask_log();
  void on_log(const json::value* data);
  void finish_fetch(const Result<void>& outcome);
  void on_answer(const Message& answer);
  void fail(const Message& message, const std::string& why);

  Agent& agent_;
  NodeSpec spec_;
  NodeLimits limits_;
  Told told_;
  OpenLink open_link_;
  std::unique_ptr<Link> link_;
  NodeQueue queue_;
  PingWatch pings_;
  std::string awaited_, resent_;  // tokens: of the oldest message without an answer, of the last one sent again for want of one
  std::int64_t awaited_since_ = 0, ping_sent_ = 0;
  asio::steady_timer timer_;
  json::value subnodes_ = json::object();
  std::int64_t changed_at_ = 0;  // wall time of the last change of the link's state
  std::string last_error_;

  using Waiters = std::vector<std::function<void(Result<void>)>>;
  struct Fetch {  // the GETLOG under way
    std::uint64_t number = 0;
    std::string token, subnode;
    std::int64_t deadline = 0;
    Waiters waiters;
  };
  std::optional<Fetch> fetch_;
  std::map<std::string, Waiters> wishes_;  // for the next ones, by subnode
  std::uint64_t fetches_ = 0;
  std::optional<double> fetched_until_;
  std::int64_t next_fetch_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
