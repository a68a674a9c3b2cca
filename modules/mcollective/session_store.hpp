#pragma once
// Sessions in the journal, so that a client that was here before a restart is served at once. Written half a second after they have
// changed, all that changed meanwhile together: a client subscribes to its topics one by one. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

namespace gorgone::mcollective {

class SessionStore {
 public:
  /// `record_of` gives a session as it is now, nothing where it has ended.
  using RecordOf = std::function<std::optional<std::string>(const std::string& routing_id)>;
  SessionStore(Agent& agent, RecordOf record_of);

  asio::awaitable<Result<Kept>> load();
  void mark(const std::string& routing_id);
  /// Writes what is marked; comes back when all is committed, or after a few seconds.
  asio::awaitable<void> finish();

 private:
  struct State;
  void arm(std::chrono::milliseconds after);
  void flush();

  Agent& agent_;
  RecordOf record_of_;
  asio::steady_timer timer_;
  std::unordered_set<std::string> marked_;
  bool is_armed_ = false, is_finishing_ = false;
  std::shared_ptr<State> state_;
};

}  // namespace gorgone::mcollective
