#pragma once
// Answers that the socket does not take at once, kept for each client in order: a client that reads slowly gets them later, one that
// reads nothing is cut off at a bound of bytes or time. Without I/O; on the loop. Times are milliseconds of a steady clock.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace gorgone::net {

class AnswerQueue {
 public:
  enum class Sent { yes, full, no_route };
  using Send = std::function<Sent(const std::string& client, const std::string& frame)>;
  /// A number that is another when some bytes of what was sent before have left for the client: a large answer takes long on a slow line.
  using Taken = std::function<std::uint64_t(const std::string& client)>;
  struct Limits {
    std::size_t client_bytes;      ///< for one client
    std::size_t all_bytes;         ///< for all together
    std::int64_t idle_ms = 60000;  ///< a client that takes nothing for so long is cut off
  };

  AnswerQueue(Limits limits, Send send, Taken taken = {}) : limits_(limits), send_(std::move(send)), taken_(std::move(taken)) {}

  enum class Pushed {
    yes,       ///< sent, or kept
    no_route,  ///< the client is not connected
    cut,       ///< it is to be cut off: what was kept for it is gone
  };
  Pushed push(const std::string& client, std::string frame, std::int64_t now);
  struct Retried {
    bool progress = false;
    std::vector<std::string> cut;   ///< clients that took nothing for too long
    std::vector<std::string> gone;  ///< clients that went away, and what was kept for them with them
  };
  /// Sends what is kept as far as the socket takes it.
  Retried retry(std::int64_t now);
  bool empty() const { return waiting_.empty(); }
  /// Bytes kept for a client.
  std::size_t kept(const std::string& client) const;

 private:
  struct Waiting {
    std::deque<std::string> frames;
    std::size_t bytes = 0;
    std::int64_t since = 0;   // it has taken something
    std::uint64_t taken = 0;  // then
  };
  using Place = std::unordered_map<std::string, Waiting>::iterator;
  Place drop(Place entry);
  std::uint64_t taken(const std::string& client) const { return taken_ ? taken_(client) : 0; }

  Limits limits_;
  Send send_;
  Taken taken_;
  std::unordered_map<std::string, Waiting> waiting_;
  std::size_t bytes_ = 0;
};

}  // namespace gorgone::net
