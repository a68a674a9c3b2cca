#pragma once
// One node that the proxy knows: its link, the messages for it, its pings and the fetching of its log. A node costs nobody but
// itself: it has one timer and its own queue. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "log_sync.hpp"
#include "node_queue.hpp"
#include "ping_watch.hpp"
#include "refused_offers.hpp"
#include "silence.hpp"

namespace gorgone::proxy {

/// What to do with a message that a deployed node may have taken without saying so: its ACK was lost with the link.
enum class Redelivery { at_least_once, at_most_once };

struct NodeLimits {
  NodeQueue::Limits queue;
  PingWatch::Limits ping;
  LogSync::Limits log;
  Redelivery redelivery = Redelivery::at_least_once;
  std::int64_t first_pong_s = 10;  ///< how long messages for a node that dials wait for its first pong over a connection
  std::shared_ptr<Silence> silence = std::make_shared<Silence>();  ///< of all nodes
};

/// Who sends bulk that is not written down (copy_jobs.hpp) learns what became of each piece, and when the way to a node opens or
/// closes: then what the link had of it is gone, or is withdrawn.
class BulkOwner {
 public:
  virtual ~BulkOwner() = default;
  /// Whether the token is one of its own; of others the node tells what happens in history rows.
  virtual bool owns(const std::string& token) const = 0;
  /// The node has taken the oldest message of the token that it had not, or has refused it.
  virtual void bulk_answered(const std::string& token, const Result<void>& outcome) = 0;
  virtual void way_changed(const std::string& node) = 0;
};

class Node final : public LinkOwner {
 public:
  /// Messages of the node that are the proxy's business: PONG, REGISTERNODES, UNREGISTERNODES.
  using Told = std::function<void(const std::string& node, const Message& message)>;
  using Open = std::function<Result<std::unique_ptr<Link>>(const NodeSpec& spec, LinkOwner& owner)>;

  Node(Agent& agent, NodeSpec spec, const NodeLimits& limits, Open open, Told told, BulkOwner& bulk);
  ~Node() override;

  const NodeSpec& spec() const { return spec_; }
  /// Another address, port or key: the link is made anew, the queue stays.
  void change(NodeSpec spec);

  /// Queues a message and sends it as soon as the link allows; an Error where the queue is full. One that is to be stored is not
  /// sent before stored().
  Result<void> accept(Message message, bool is_stored);
  /// All bulk of a token is dropped.
  void withdraw(const std::string& token) { queue_.withdraw(token); }
  /// The outbox has the message, or will not have it: then it is dropped here.
  void stored(const std::string& delivery, bool is_kept);
  /// Pings it now, where it is up.
  void ping();
  /// See Gateway::fetch_log; `subnode` is empty for the node's own log.
  void fetch_log(const std::string& subnode, std::function<void(Result<void>)> done);
  /// Called with true when the link has been down for some seconds, and with false when it is up.
  void when_away(std::function<void(bool)> tell) { tell_away_ = std::move(tell); }
  /// Whether others that lead to the same targets are to be preferred.
  bool is_away() const { return is_away_; }
  /// Whether anything waits for nodes behind it.
  bool has_targets() const { return queue_.has_targets(); }
  /// Gives away what waits for targets behind the node and fits, but nothing that may have been taken where it must not run twice; `ttl_s`
  /// of each is what it has left.
  std::vector<Message> hand_over(const std::function<bool(const Message&)>& fits);
  /// Ends the link and gives up what is queued, with a history row for each that `rescue` does not take over (true; it is given those of
  /// the outbox, `ttl_s` being what they have left); the last call before the end.
  void abandon(const std::string& why, const std::function<bool(Message&)>& rescue);
  /// Ends the link; what the outbox has stays there, only what it does not have gets a row.
  void leave(const std::string& why);

  bool has_link() const { return link_ != nullptr; }
  bool is_up() const { return link_ && link_->is_up(); }
  /// It is up and has said what it can do, or has let the time for it pass.
  bool is_ready() const { return is_up() && is_known_; }
  bool is_bound() const { return !link_ || link_->is_bound(); }
  /// Each request is answered, in order (Link::answers_requests).
  bool answers_requests() const { return link_ && (is_one_of_ours() || link_->answers_requests()); }
  json::object constatus() const;
  bool has_feature(const std::string& name) const { return features_.contains(name); }
  /// The nodes that it told of in its last pong.
  const json::value& subnodes() const { return subnodes_; }
  bool has_ponged() const { return pings_.has_ponged(); }
  bool has_ponged_within(std::int64_t seconds) const;

  void link_up() override;
  void link_down(const Error& why) override;
  void link_received(Message message) override;
  void link_has_room() override;
  void offer_refused(const Error& why) override;

 private:
  void open();
  void flush();
  bool send_next();
  NodeQueue::Form form_of(const Message& message) const;
  /// Why the node would end the connection on the message, and again whenever it was sent; empty where it takes it.
  std::string oversize_of(const Message& message) const;
  bool sends_once() const;
  void leave_outbox();
  void watch_answers();
  void resend_if_lost();
  void arm();
  void on_clock();
  void send_ping();
  LinkFlow flow() const { return flow_of(link_.get()); }
  Result<void> send_question(const Message& question);
  void on_pong(const Message& pong);
  void await_first_pong(std::int64_t now);
  void become_known();
  bool is_pinged_in_silence() const;
  bool is_mute() const;
  const Error& why_away() const;
  void join_silence(bool joins);
  void on_answer(const Message& answer);
  bool is_one_of_ours() const { return features_.contains("delivery"); }
  void took_until(std::uint64_t sequence);
  void taken(const Message& message);
  void tell_way();
  void fail(const Message& message, const std::string& why, const char* code_of_bulk = "unreachable");

  Agent& agent_;
  NodeSpec spec_;
  NodeLimits limits_;
  Open open_;
  Told told_;
  BulkOwner& bulk_;
  std::unique_ptr<Link> link_;
  NodeQueue queue_;
  PingWatch pings_;
  LogSync log_;
  std::set<std::string> features_;   // what the node said in its last pong that it can do
  bool is_frame_max_fresh_ = false;  // said since the link came up
  std::size_t frame_max_ = 0;        // that it takes, as that pong says; 0 where it says nothing
  bool was_ready_ = false;
  std::string instance_;                                         // of the node's daemon, another after each start
  bool is_known_ = false;                                        // it has said so, or has let the time for it pass
  std::int64_t known_at_ = 0, asked_again_at_ = 0;               // until then its first pong is waited for; when it is asked once more
  std::vector<std::pair<std::string, LogSync::Done>> early_;     // logs wished for before it is known, by subnode
  std::int64_t paused_until_ = 0;                                // the link is full
  std::deque<std::pair<std::string, std::uint64_t>> questions_;  // tokens of GETLOGs, and the last message sent before each
  std::uint64_t pinged_sequence_ = 0;                            // the last message sent before the ping under way
  // Ranks: of the oldest message without an answer, of the last one sent again for want of one, of the last one given more time.
  std::uint64_t awaited_ = 0, resent_ = 0, postponed_ = 0;
  std::int64_t awaited_since_ = 0, ping_sent_ = 0;
  asio::steady_timer timer_;
  bool is_armed_ = false;
  bool has_joined_silence_ = false;
  json::value subnodes_ = json::object();
  std::function<void(bool)> tell_away_;
  bool is_away_ = false;
  std::int64_t away_since_ = 0;  // 0 while it is up
  std::int64_t heard_ = 0;       // when anything came from it
  std::int64_t changed_at_ = 0;  // wall time of the last change of the link's state
  Error last_error_{"", ""};
  RefusedOffers refused_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
