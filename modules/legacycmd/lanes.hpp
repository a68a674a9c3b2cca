#pragma once
// The lines on their way to the outbox: one lane for each poller, in order, so that a poller that has to wait holds up its own lines and
// no others. A line is done when each of its messages is in the outbox (or in the inbox, for this node), or was refused for good and
// that was told. On the loop.

#include <gorgone/agent.hpp>

#include <deque>
#include <map>
#include <memory>

#include "follower.hpp"
#include "orders.hpp"
#include "pollers.hpp"
#include "signal.hpp"

namespace gorgone::legacycmd {

/// One line, or a bulk of them.
struct Job {
  std::string id;      ///< 28 characters: the beginning of its messages' delivery ids
  std::string source;  ///< where it came from, for logs
  std::string token;   ///< for the row that tells a failure; empty: one is drawn
  Unit unit;
  /// Called once: what became of it, an Error where a part of it was refused.
  std::function<void(const Result<void>&)> done;
  Pollers::Clock::time_point arrived = Pollers::Clock::now();  ///< what it asks of the database must be no older
};

class Lanes {
 public:
  Lanes(Agent& agent, Pollers& pollers, Follower& follower, Paths paths)
      : agent_(agent), pollers_(pollers), follower_(follower), paths_(std::move(paths)) {}

  void add(Job job);
  /// What waits or is not accepted yet.
  std::size_t bytes() const { return bytes_; }
  std::map<std::string, std::size_t> bytes_of_lanes() const;
  /// Sends nothing more, and waits a little for the answers that are under way.
  asio::awaitable<void> settle();

 private:
  struct Lane;
  struct Call;
  /// A job under way: it ends when the last part of it does.
  struct Part;
  using PartPtr = std::shared_ptr<Part>;

  asio::awaitable<void> run(std::shared_ptr<Lane> lane);
  asio::awaitable<void> serve(std::shared_ptr<Lane> lane, PartPtr part);
  asio::awaitable<Result<std::vector<Order>>> orders_of(const Job& job);
  asio::awaitable<bool> is_there(std::string path);
  asio::awaitable<void> wait_for_node(std::shared_ptr<Lane> lane);
  void submit(const Message& message, Reply reply);
  asio::awaitable<void> send(std::shared_ptr<Lane> lane, PartPtr part, Message message);
  asio::awaitable<void> clear_way(std::shared_ptr<Lane> lane);
  void give(const std::shared_ptr<Lane>& lane, PartPtr part, std::uint64_t number, Message message);
  void follow(const Part& part, const Message& message);
  void refuse(Part& part, const Error& why);
  bool is_own(const std::string& target) const { return target.empty() || target == agent_.node_id(); }

  Agent& agent_;
  Pollers& pollers_;
  Follower& follower_;
  Paths paths_;
  std::map<std::string, std::shared_ptr<Lane>> lanes_;
  std::size_t bytes_ = 0, unanswered_ = 0;
  bool is_stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::legacycmd
