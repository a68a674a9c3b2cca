#pragma once
// Messages for one node and those behind it, without I/O: what waits for the link and what was sent and not yet answered. There are two
// lanes: bulk (pieces of files) goes only while no ordinary message may, and so little of it is unanswered at a time (bulk_window.hpp) that
// a command does not wait for a file. In each lane every target has a queue of its own, in order and bounded in count and bytes; they take
// turns, and one that the node refuses for now is set aside and costs the others nothing. Times are seconds of a steady clock.

#include <gorgone/message.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bulk_window.hpp"

namespace gorgone::proxy {

class NodeQueue {
  struct Way;

 public:
  using Clock = std::chrono::steady_clock;
  enum class Lane : std::uint8_t { ordinary, bulk };
  /// How a message was sent, which says how the node acknowledges it, whatever becomes of its daemon meanwhile.
  enum class Form : std::uint8_t {
    plain,    ///< by an answer with its token
    silent,   ///< not at all: what the node answers to later messages says that it has come
    wrapped,  ///< by an answer with its delivery id
  };
  struct Limits {
    std::size_t messages = 10000;                ///< of each target in each lane
    std::size_t bytes = std::size_t{256} << 20;  ///< as well
    std::int64_t ttl_s = 3600;
    std::size_t in_flight = 256;                                ///< sent and not yet answered, at most, of each lane
    std::size_t in_flight_bytes = std::size_t{8} << 20;         ///< a single larger message passes alone
    std::size_t bulk_in_flight_bytes = std::size_t{512} << 10;  ///< at first, and at least; see BulkWindow
  };
  struct Entry {
    Message message;
    std::int64_t until = 0;
    std::size_t size = 0;
    Way* way = nullptr;
    Lane lane = Lane::ordinary;
    bool is_in_flight = false;
    bool is_stored = true;       ///< false until the outbox has it: it is not sent before
    bool may_have_come = false;  ///< it was sent, and the link was lost before it was answered
    bool is_once = false;        ///< the outbox has forgotten it: it is not sent a second time
    Form form = Form::plain;     ///< as which it was sent last
    std::string sent_as = {};    ///< the token its answer will have
    Clock::time_point sent_at = {};
    std::uint64_t sequence = 0;  ///< rises with each message sent
    std::uint64_t rank = 0;      ///< rises with each message pushed, from 1
  };

  explicit NodeQueue(Limits limits) : limits_(limits), bulk_window_(limits.bulk_in_flight_bytes) {}
  const Limits& limits() const { return limits_; }

  /// An Error, code "busy", where the queue of the message's target is full.
  Result<void> push(Message message, std::int64_t until, bool is_stored, Lane lane = Lane::ordinary);
  /// The outbox has the oldest message that was not stored, or (false) will not have it: it is taken out.
  std::optional<Message> stored(const std::string& delivery, bool is_kept);

  /// The next message to send, nullptr where none waits or too many are unanswered. sent() after it was sent.
  const Entry* next() const;
  void sent(std::string as, Form form = Form::plain, Clock::time_point at = Clock::now());
  /// The next message will not be sent.
  Message take_next();
  /// The next message waits until the outbox has forgotten it, and is sent as one that never was there. Its delivery id.
  std::string hold_next();
  void forgotten(const std::string& delivery);

  /// The rank of the message that was sent first of those not answered, 0 where there is none. The same when it is sent again; tokens are
  /// no name for it, for all pieces of a file have one.
  std::uint64_t oldest_in_flight() const { return in_flight_.empty() ? 0 : in_flight_.front().rank; }
  /// The answer to a message that was sent: the oldest whose answer has that token. Nothing where none fits.
  std::optional<Message> answered(const std::string& token, Clock::time_point at = Clock::now());
  /// An action that the node does not know is refused without a token: the oldest message with that action.
  std::optional<Message> unknown_action(const std::string& action);
  /// Takes out what was sent as silent up to a sequence number.
  std::vector<Message> silent_until(std::uint64_t sequence);
  std::uint64_t last_sequence() const { return sequence_; }
  /// Takes out all bulk of a token, sent or not.
  void withdraw(const std::string& token);
  /// The node cannot take it now: the message stands where it stood, and its target is set aside. After a pause, when all that was sent for
  /// it has been answered, its oldest message is tried alone; once that is taken the others follow.
  void put_back(const std::string& token, std::int64_t now);
  /// Ends the pauses that are over.
  void resume(std::int64_t now);
  /// When the next pause is over.
  std::optional<std::int64_t> next_pause_end() const { return pauses_.empty() ? std::nullopt : std::optional(pauses_.begin()->first); }

  /// The session is lost: what was not answered is sent again, before the rest, in its old order.
  void link_lost();
  /// What was wrapped stands where it stood: the node does not know it, or (may_have_come) is another one by now, which may have taken it.
  void put_back_wrapped(bool may_have_come = false);
  /// Before link_lost(): what was not answered and must not be sent again is taken out.
  std::vector<Message> take_sent_once();

  /// Takes out what waits too long, for the link or for an answer.
  struct Expired {
    Message message;
    bool may_have_come;
  };
  std::vector<Expired> expired(std::int64_t now);
  /// Takes out everything, what was sent first; `ttl_s` is what each has left at `now`.
  std::vector<Message> clear(std::int64_t now);

  /// Takes out of what waits, and is in the outbox, what fits; `ttl_s` as in clear().
  std::vector<Message> take_waiting_if(const std::function<bool(const Message&, bool may_have_come)>& fits, std::int64_t now);

  /// Whether anything is for a node behind this one.
  bool has_targets() const {
    return std::ranges::any_of(ways_, [](const auto& way) { return !way.first.second.empty(); });
  }
  std::size_t waiting() const { return count_ - in_flight_.size(); }
  std::size_t in_flight() const { return in_flight_.size(); }
  std::size_t silent() const { return silent_; }  ///< of these, those that have no answer of their own
  std::optional<std::int64_t> next_expiry() const { return untils_.empty() ? std::nullopt : std::optional(*untils_.begin()); }

 private:
  using Place = std::deque<Entry>::iterator;
  struct Sum {
    std::size_t count = 0, bytes = 0;
  };
  /// What becomes of a target that was refused: it is paused; then one message may be tried; then its answer is awaited.
  enum class State : std::uint8_t { open, paused, due, tried };
  using Key = std::pair<Lane, std::string>;  // and target
  /// To one target in one lane; there while anything of it waits or is in flight.
  struct Way {
    Key key;
    std::deque<Entry> waiting = {};
    Sum held = {};  // all that there is
    std::size_t in_flight = 0;
    State state = State::open;
    std::int64_t pause_s = 0;  // the last one, longer each time
    std::uint64_t turn = 0;    // 0 where nothing of it may go
  };
  static std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }
  Way* next_way() const;
  void line_up(Way& way);
  void pause(Way& way, std::int64_t now);
  void forget_pause(const Way& way);
  void remember_not_stored(Entry& entry);
  Entry* not_stored(const std::string& delivery);
  void now_stored(Entry& entry);
  void left_flight(Entry& entry);
  Entry cut(std::deque<Entry>& list, Place place);
  Message taken(Place place);
  void insert_by_rank(Entry entry);
  void put_back_if(const std::function<bool(const Entry&)>& fits);
  std::optional<Message> take_in_flight_if(const std::function<bool(const Entry&)>& fits);
  std::vector<Message> take_all_in_flight_if(const std::function<bool(const Entry&)>& fits);
  /// Takes out what fits, in flight or not; of the lanes from that one on.
  std::vector<Entry> cut_if(const std::function<bool(const Entry&)>& fits, Lane from = Lane::ordinary);
  static std::vector<Message> in_order(std::vector<Entry> entries, std::int64_t now);

  Limits limits_;
  std::map<Key, Way> ways_;
  std::array<std::map<std::uint64_t, Way*>, 2> turns_;                     // by lane: the ways of which a message may go
  std::multimap<std::int64_t, Way*> pauses_;                               // by their end
  std::multimap<std::string, std::pair<Way*, std::uint64_t>> not_stored_;  // delivery → rank
  std::deque<Entry> in_flight_;                                            // of all, in the order they were sent
  std::multiset<std::int64_t> untils_;
  std::array<Sum, 2> flying_;  // by lane
  BulkWindow bulk_window_;
  std::size_t count_ = 0, silent_ = 0;
  std::uint64_t sequence_ = 0, rank_ = 0, turn_ = 0;
};

}  // namespace gorgone::proxy
