#pragma once
// Sessions in the journal, so that a client that was here before a restart is served at once. What a client says is written at once,
// together with what else waits for the journal; what becomes of it otherwise half a second later. On the loop.
//
// The first part of a session (parts_of) lies in the collection "mcollective.session" under the client's routing id, the others in
// "mcollective.session_topics", under the routing id and the number of the part (8 digits, hexadecimal). A client may have many topics and
// change one of them without end: of the others only those parts are written that are not what was written last.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
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
  /// Written now. `done`, where there is one, is called, once, when it is committed or has failed, after half a second where the disk
  /// hangs, and from inside of this call where it is known to do so: nobody is kept from his work by it.
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
  /// What lies in the journal of a session in several parts: a digest of each; 0: not known.
  using Digests = std::vector<std::uint64_t>;
  void arm(std::chrono::milliseconds after);
  void flush();
  void write(const std::string& routing_id, std::function<void()> done);
  std::vector<std::size_t> changed_parts(const std::string& routing_id, const std::vector<std::string_view>& parts);
  void doubt(const std::string& routing_id, std::size_t parts);
  void write_now(const std::string& routing_id);
  void watch_time();
  static void tell(Waiter& waiter);

  Agent& agent_;
  RecordOf record_of_;
  asio::steady_timer timer_, limit_;
  std::unordered_set<std::string> marked_;
  std::unordered_map<std::string, Digests> written_;
  std::deque<std::shared_ptr<Waiter>> waiting_;  ///< all of them, those that were told among them; the oldest first
  bool is_armed_ = false, is_finishing_ = false, is_watching_ = false, is_hurried_ = false;
  bool is_waited_for_ = true;  ///< false: the journal hangs, or the broker ends
  std::shared_ptr<State> state_;
};

}  // namespace gorgone::mcollective
