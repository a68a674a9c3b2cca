#pragma once
// Messages for one node, without I/O: what waits for the link and what was sent and not yet answered, in order. There are two lanes:
// bulk (pieces of files) goes only while no ordinary message may, and little of it is unanswered at a time, so that a command never
// waits for a file. Each lane is bounded in count and bytes; times are seconds of a steady clock.

#include <gorgone/message.hpp>

#include <array>
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
  enum class Lane : std::uint8_t { ordinary, bulk };
  struct Limits {
    std::size_t messages = 10000;
    std::size_t bytes = std::size_t{256} << 20;
    std::int64_t ttl_s = 3600;
    std::size_t in_flight = 256;                         ///< sent and not yet answered, at most, of each lane
    std::size_t in_flight_bytes = std::size_t{8} << 20;  ///< a single larger message passes alone
    std::size_t bulk_in_flight_bytes = std::size_t{512} << 10;
  };
  struct Entry {
    Message message;
    std::int64_t until = 0;
    std::size_t size = 0;
    Lane lane = Lane::ordinary;
    bool is_stored = true;       ///< false until the outbox has it: it is not sent before
    std::string sent_as = {};    ///< the token its answer will have
    std::uint64_t sequence = 0;  ///< rises with each message sent
    std::uint64_t rank = 0;      ///< rises with each message pushed, from 1
  };

  explicit NodeQueue(Limits limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  /// An Error, code "busy", where the queue is full.
  Result<void> push(Message message, std::int64_t until, bool is_stored, Lane lane = Lane::ordinary);
  /// The outbox has the oldest message that was not stored, or (false) will not have it: it is taken out.
  std::optional<Message> stored(const std::string& delivery, bool is_kept);

  /// The next message to send, nullptr where none waits or too many are unanswered. sent() after it was sent.
  const Entry* next() const;
  void sent(std::string as);
  /// The next message will not be sent.
  Message take_next();
  /// The next message waits until the outbox has forgotten it, and is sent as one that never was there. Its delivery id.
  std::string hold_next();
  void forgotten(const std::string& delivery);

  /// The rank of the message that was sent first of those not answered, 0 where there is none. The same when it is sent again; tokens are
  /// no name for it, for all pieces of a file have one.
  std::uint64_t oldest_in_flight() const { return in_flight_.empty() ? 0 : in_flight_.front().rank; }
  /// The answer to a message that was sent: the oldest whose answer has that token. Nothing where none fits.
  std::optional<Message> answered(const std::string& token);
  /// An action that the node does not know is refused without a token: the oldest message with that action.
  std::optional<Message> unknown_action(const std::string& action);
  /// Takes out what was sent up to a sequence number.
  std::vector<Message> sent_until(std::uint64_t sequence);
  std::uint64_t last_sequence() const { return sequence_; }
  /// Takes out all bulk of a token, sent or not.
  void withdraw(const std::string& token);
  /// The node cannot take it now: the message stands where it stood in its lane.
  void put_back(const std::string& token);

  /// The session is lost: what was not answered is sent again, before the rest, in its old order.
  void link_lost();
  /// What was not answered is taken out.
  std::vector<Message> take_in_flight();

  /// Takes out what waits too long, for the link or for an answer.
  std::vector<Message> expired(std::int64_t now);
  /// Takes out everything, what was sent first; `ttl_s` is what each has left at `now`.
  std::vector<Message> clear(std::int64_t now);

  /// Takes out of what waits, and is in the outbox, what fits; `ttl_s` as in clear(). `was_sent`: it may have arrived, and waits to be sent
  /// again.
  std::vector<Message> take_waiting_if(const std::function<bool(const Message&, bool was_sent)>& fits, std::int64_t now);

  std::size_t waiting() const { return waiting_[0].size() + waiting_[1].size(); }
  std::size_t in_flight() const { return in_flight_.size(); }
  std::optional<std::int64_t> next_expiry() const { return untils_.empty() ? std::nullopt : std::optional(*untils_.begin()); }

 private:
  using Place = std::deque<Entry>::iterator;
  struct Sum {
    std::size_t count = 0, bytes = 0;
  };
  std::deque<Entry>& waiting_of(Lane lane) { return waiting_[static_cast<std::size_t>(lane)]; }
  Sum& sum_of(std::array<Sum, 2>& sums, Lane lane) { return sums[static_cast<std::size_t>(lane)]; }
  bool may_go(Lane lane) const;
  std::optional<Lane> next_lane() const;
  Entry* not_stored(const std::string& delivery);
  void left_flight(const Entry& entry);
  Entry cut(std::deque<Entry>& list, Place place);
  void insert_by_rank(Entry entry);
  std::optional<Message> take_in_flight_if(const std::function<bool(const Entry&)>& fits);

  Limits limits_;
  std::array<std::deque<Entry>, 2> waiting_;  // by lane
  std::deque<Entry> in_flight_;               // of both, in the order they were sent
  std::multiset<std::int64_t> untils_;
  std::array<Sum, 2> held_, flying_;  // by lane: all that there is, and what of it was sent
  std::uint64_t sequence_ = 0, rank_ = 0;
};

}  // namespace gorgone::proxy
