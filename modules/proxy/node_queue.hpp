#pragma once
// Messages for one node, without I/O: what waits for the link and what was sent and not yet answered, in order. Bounded in count
// and bytes; times are seconds of a steady clock.

#include <gorgone/message.hpp>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace gorgone::proxy {

class NodeQueue {
 public:
  struct Limits {
    std::size_t messages = 10000;
    std::size_t bytes = std::size_t{256} << 20;
    std::int64_t ttl_s = 3600;
    std::size_t in_flight = 256;                         ///< sent and not yet answered, at most
    std::size_t in_flight_bytes = std::size_t{8} << 20;  ///< a single larger message passes alone
  };

  explicit NodeQueue(Limits limits) : limits_(limits) {}

  /// An Error, code "busy", where the queue is full.
  Result<void> push(Message message, std::int64_t now);

  /// The next message to send, nullptr where none waits or too many are unanswered. sent() after it was sent.
  const Message* next() const;
  void sent();

  /// The token of the oldest message that was sent and not answered, empty where there is none.
  std::string oldest_in_flight() const { return in_flight_.empty() ? std::string() : in_flight_.front().message.token; }
  /// The answer to a message that was sent: the oldest with that token. Nothing where none fits.
  std::optional<Message> answered(const std::string& token);
  /// An action that the node does not know is refused without a token: the oldest message with that action.
  std::optional<Message> unknown_action(const std::string& action);

  /// The session is lost: what was not answered is sent again, before the rest, in its old order.
  void link_lost();

  /// Takes out what waits too long, for the link or for an answer.
  std::vector<Message> expired(std::int64_t now);
  /// Takes out everything, what was sent first.
  std::vector<Message> clear();

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t in_flight() const { return in_flight_.size(); }
  std::optional<std::int64_t> next_expiry() const;

 private:
  struct Entry;
  std::optional<Message> take(std::deque<Entry>::iterator entry);
  struct Entry {
    Message message;
    std::int64_t until = 0;
    std::size_t size = 0;
  };
  Limits limits_;
  std::deque<Entry> waiting_, in_flight_;
  std::size_t bytes_ = 0, in_flight_bytes_ = 0;
};

}  // namespace gorgone::proxy
