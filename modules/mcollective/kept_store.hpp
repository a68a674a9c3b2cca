#pragma once
// Messages of persistent topics in the agent's journal: an index of all of them in memory, their bodies only in the file. Collection
// "mcollective.queue", keys "<subject of the topic> <number, 16 hex digits>", records as envelope.hpp has them. On the loop.

#include <gorgone/agent.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "envelope.hpp"
#include "kept_limits.hpp"

namespace gorgone::mcollective {

/// Journal::kept() for coroutines.
asio::awaitable<Result<Kept>> kept_records(Journal& journal, const std::string& of, const KeptRange& range);

class KeptStore {
 public:
  struct Stored {
    std::uint64_t number = 0;
    Envelope envelope;
  };
  struct Counters {
    std::uint64_t expired = 0, refused = 0;
    std::uint64_t lost = 0;  ///< the journal had them no more, or cannot read them
  };
  /// What is there of one topic. Not changed by its users.
  struct Queue {
    struct Entry {
      std::uint64_t number = 0;
      std::int64_t time_s = 0;
      std::size_t bytes = 0;
    };
    std::deque<Entry> entries;  ///< by rising number
    std::size_t bytes = 0;
  };

  /// What a topic with messages takes in memory, and is charged beside them: anybody can think of ever new ones.
  static constexpr std::size_t queue_bytes = 800;
  /// How long messages are kept that were there before the options were changed.
  static constexpr std::chrono::hours unmatched_age_max{7 * 24};

  /// `limits` outlives this.
  KeptStore(Agent& agent, const std::vector<KeptLimits>& limits);
  KeptStore(const KeptStore&) = delete;

  /// Reads what the journal has.
  asio::awaitable<Result<void>> start();
  /// The message's number; `done` comes after the commit to the file. An Error where the queue is full or the file cannot be written;
  /// `done` does not come then.
  Result<std::uint64_t> append(const std::string& topic, const Envelope& envelope, std::function<void(Result<void>)> done);
  /// Waits until what was appended is in the file, and tells in the log of what is not.
  asio::awaitable<void> settle();
  void drop(const std::string& topic, std::uint64_t number);
  /// The journal was asked for it and has it no more: counted, and told in the log. False where it is not expected there any more.
  bool lose(const std::string& topic, std::uint64_t number);
  /// Up to `limit` messages from a number on, fewer where they are large; none where there are none.
  void read(const std::string& topic, std::uint64_t from, std::size_t limit, std::function<void(Result<std::vector<Stored>>)> done);
  /// What can be read of a topic at once: messages from a number on, and their bytes. At least one where there is one.
  struct Part {
    std::size_t messages = 0, bytes = 0;
  };
  Part part(const std::string& topic, std::uint64_t from, std::size_t messages_max, std::size_t bytes_max) const;
  /// The first number from `from` on; 0 where there is none.
  std::uint64_t first(const std::string& topic, std::uint64_t from = 0) const;
  /// Drops what is too old; the topics that lost something. Looks at a portion of all, at the next ones the next time.
  std::vector<std::string> expire(std::int64_t now_s);

  using Queues = std::map<std::string, Queue>;
  const Queues& queues() const { return queues_; }
  const Queue* queue(const std::string& topic) const;
  Counters counters(const KeptLimits& of) const;

 private:
  void index(const std::string& topic, Queue::Entry entry);
  void forget(const std::string& topic, std::uint64_t number);
  Queues::iterator erase(Queues::iterator place);
  const KeptLimits& limits(const std::string& topic) const;

  Agent& agent_;
  const std::vector<KeptLimits>& limits_;
  KeptLimits of_no_pattern_;
  Queues queues_;
  std::string looked_at_;  ///< the last topic
  std::map<const KeptLimits*, std::size_t> bytes_;
  std::map<const KeptLimits*, Counters> counters_;
  std::uint64_t last_number_ = 0;
  std::size_t unsettled_ = 0, unkept_ = 0;  ///< on their way into the file, and those that did not get there
  std::string why_unkept_;
  std::uint64_t untold_ = 0;  ///< too old, and not in the log yet
  std::int64_t told_s_ = 0;
  std::uint64_t lost_untold_ = 0;
  std::chrono::steady_clock::time_point lost_told_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
