#pragma once
// Sessions in the journal, so that a client that was here before a restart is served at once. What a client is told OK for is written
// first, together with what else waits for the journal; the rest half a second after it has changed. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace gorgone::mcollective {

class SessionStore {
 public:
  /// `record_of` gives a session as it is now, nothing where it has ended.
  using RecordOf = std::function<std::optional<std::string>(const std::string& routing_id)>;
  SessionStore(Agent& agent, RecordOf record_of);
  ~SessionStore();
  SessionStore(const SessionStore&) = delete;

  asio::awaitable<Result<Kept>> load();
  /// It has changed: written soon.
  void mark(const std::string& routing_id);
  /// Written now. `done` is called, once, when it is committed or has failed, after half a second where the disk hangs, and from inside of
  /// this call where it is known to do so: nobody is kept from his work by it.
  void keep(const std::string& routing_id, std::function<void()> done);
  /// The broker ends: nobody waits any more, for all is written before that is over.
  void hurry();
  /// Writes what is marked; comes back when all is committed, or after a few seconds.
  asio::awaitable<void> finish();

 private:
  struct Waiter {
    std::function<void()> done;
    std::chrono::steady_clock::time_point until;
  };
  using Waiters = std::vector<std::shared_ptr<Waiter>>;
  struct State;
  void arm(std::chrono::milliseconds after);
  void flush();
  void write(const std::string& routing_id, std::function<void(const Result<void>&)> done);
  void write_now(const std::string& routing_id);
  void watch_time();
  static void tell(Waiter& waiter);

  Agent& agent_;
  RecordOf record_of_;
  asio::steady_timer timer_, limit_;
  std::unordered_set<std::string> marked_;
  std::deque<std::shared_ptr<Waiter>> waiting_;  ///< all of them, those that were told among them; the oldest first
  bool is_armed_ = false, is_finishing_ = false, is_watching_ = false, is_hurried_ = false;
  bool is_waited_for_ = true;  ///< false: the journal hangs, or the broker ends
  std::shared_ptr<State> state_;
};

}  // namespace gorgone::mcollective
