#pragma once
// Messages for one node, without I/O: what waits for the link and what was sent and not yet answered, in order. Bounded in count
// and bytes; times are seconds of a steady clock.

#include <gorgone/message.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
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
  struct Entry {
    Message message;
    std::int64_t until = 0;
    std::size_t size = 0;
    bool is_stored = true;       ///< false until the outbox has it: it is not sent before
    std::string sent_as = {};    ///< the token its answer will have
    std::uint64_t sequence = 0;  ///< rises with each message sent
  };

  explicit NodeQueue(Limits limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  /// An Error, code "busy", where the queue is full.
  Result<void> push(Message message, std::int64_t until, bool is_stored);
  /// The outbox has the oldest message that was not stored, or (false) will not have it: it is taken out.
  std::optional<Message> stored(const std::string& delivery, bool is_kept);

  /// The next message to send, nullptr where none waits or too many are unanswered. sent() after it was sent.
  const Entry* next() const;
  void sent(std::string as);
  /// The next message waits until the outbox has forgotten it, and is sent as one that never was there. Its delivery id.
  std::string hold_next();
  void forgotten(const std::string& delivery);

  /// The answer's token of the oldest message that was sent and not answered, empty where there is none.
  std::string oldest_in_flight() const { return in_flight_.empty() ? std::string() : in_flight_.front().sent_as; }
  /// The answer to a message that was sent: the oldest whose answer has that token. Nothing where none fits.
  std::optional<Message> answered(const std::string& token);
  /// An action that the node does not know is refused without a token: the oldest message with that action.
  std::optional<Message> unknown_action(const std::string& action);
  /// Takes out what was sent up to a sequence number.
  std::vector<Message> sent_until(std::uint64_t sequence);
  std::uint64_t last_sequence() const { return sequence_; }
  /// The node cannot take it now: the message stands first in line again.
  void put_back(const std::string& token);

  /// The session is lost: what was not answered is sent again, before the rest, in its old order.
  void link_lost();
  /// What was not answered is taken out.
  std::vector<Message> take_in_flight();

  /// Takes out what waits too long, for the link or for an answer.
  std::vector<Message> expired(std::int64_t now);
  /// Takes out everything, what was sent first.
  std::vector<Message> clear();

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t in_flight() const { return in_flight_.size(); }
  std::optional<std::int64_t> next_expiry() const { return untils_.empty() ? std::nullopt : std::optional(*untils_.begin()); }

 private:
  using Place = std::deque<Entry>::iterator;
  Place not_stored(const std::string& delivery);
  Entry cut(std::deque<Entry>& list, Place place);
  std::optional<Message> take_in_flight_if(const std::function<bool(const Entry&)>& fits);

  Limits limits_;
  std::deque<Entry> waiting_, in_flight_;
  std::multiset<std::int64_t> untils_;
  std::size_t bytes_ = 0, in_flight_bytes_ = 0;
  std::uint64_t sequence_ = 0;
};

}  // namespace gorgone::proxy
