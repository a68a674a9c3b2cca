#pragma once
// Messages of the outbox whose node is not known (yet): at the start all of them, until their nodes are registered; and while the outbox
// cannot be read (another program has locked its file) those that are accepted meanwhile, behind what it may hold. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>

namespace gorgone::proxy {

/// What the outbox keeps of a message that may wait for `ttl_s`.
StoredMessage stored_message(const Message& message, std::int64_t ttl_s);

/// Why the outbox took nothing: "busy" where it will later, so that whoever passes a message on keeps it.
Error outbox_failure(const Error& why);

class Homeless {
 public:
  /// `place` gives a message to its node; false where there is none still.
  using Place = std::function<bool(Message& message)>;
  /// `held_s`: for so long an outbox that cannot be read holds back what is new. Who locks its file for longer keeps messages from their
  /// order, and not from their nodes. `grace_s`: for so long what is too old when it is read may yet be none: the clock may be ahead.
  Homeless(Agent& agent, Place place, std::int64_t held_s = 60, std::int64_t grace_s = 300);

  /// Reads the outbox. Where it cannot be read now it is asked for again until it can.
  asio::awaitable<void> load();
  /// True until the outbox has been read. What comes of each message that goes into it meanwhile is to be told by stored(), as the journal
  /// answers, so that it is not taken for one of before. What was refused, or known already, is not remembered.
  bool is_unread() const { return is_unread_; }
  void stored(const std::string& delivery, const Result<bool>& is_new) {
    if (is_unread_ && is_new && *is_new) stored_.insert(delivery);
  }
  /// Whether what is new has to wait behind what the outbox may hold: until it has been read, but not for ever.
  bool holds_back() const;
  /// A message that the outbox has taken since holds_back(), behind the others.
  void hold(Message message);
  /// `left_s`: how long it may still wait.
  void add(Message message, std::int64_t left_s);
  /// New nodes are known: tries again for each.
  void settle();

 private:
  struct Waiting {
    Message message;
    std::int64_t until;  // now_s()
  };
  using Read = Result<std::vector<StoredMessage>>;
  void read(std::function<void()> done);
  void on_read(Read list);
  void let_go();
  void tick();
  void look_at_late();
  void give_up(const Message& message, const std::string& why);

  Agent& agent_;
  Place place_;
  std::list<Waiting> waiting_;
  struct Late {
    Message message;
    std::int64_t until;  // wall_s()
  };
  std::list<Late> late_;
  const std::int64_t held_s_, grace_s_;
  std::int64_t late_until_ = 0;  // now_s()
  bool is_unread_ = true, is_late_ = false;
  std::int64_t held_until_;       // now_s()
  std::list<Waiting> held_;       // while the outbox is not read
  std::set<std::string> stored_;  // deliveries, since the start; the journal keeps a mark of each, too
  asio::steady_timer timer_, read_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
