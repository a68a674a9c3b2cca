#pragma once
// Messages of the outbox whose node is not known (yet): at the start all of them, until their nodes are registered. On the loop.

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
  Homeless(Agent& agent, Place place);

  /// Reads the outbox.
  asio::awaitable<void> load();
  /// `left_s`: how long it may still wait.
  void add(Message message, std::int64_t left_s);
  /// New nodes are known: tries again for each.
  void settle();

 private:
  struct Waiting {
    Message message;
    std::int64_t until;  // now_s()
  };
  void tick();

  Agent& agent_;
  Place place_;
  std::list<Waiting> waiting_;
  asio::steady_timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
