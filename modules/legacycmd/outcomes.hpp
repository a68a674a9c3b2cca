#pragma once
// What becomes of messages after they are in the outbox: their tokens, for as long as a row may come, and the failures those rows tell,
// written to the log once for each and then as a count. No I/O and no clock of its own.

#include <gorgone/journal.hpp>

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace gorgone::legacycmd {

using OutcomeClock = std::chrono::steady_clock;

/// A message that was accepted, as an administrator knows it.
struct Sent {
  std::string source;   ///< the spool file, or the API
  std::string command;  ///< of the line
  std::string poller;   ///< its id; empty: this node
  /// The first row that ends its token may not be the last one: a copy ends here and there.
  bool ends_twice = false;
  bool hides_output = false;  ///< what its commands print may hold a password
};

struct Failure {
  Sent sent;
  std::string token;
  std::string reason;  ///< fit for a line of the log: it is remembered, and a command may print megabytes
};

/// Why a row is a failure, nothing where it is none. What a command was given is not part of it where `with_output` is false, nor what it
/// has printed.
std::optional<std::string> failure_in(const HistoryRow& row, bool with_output = true);

class Outcomes {
 public:
  struct Limits {
    std::size_t tokens = 20000;  ///< beyond it the oldest is followed no more
    std::chrono::seconds time = std::chrono::hours(24), time_after_end = std::chrono::seconds(150);
  };
  Outcomes() : Outcomes(Limits{}) {}
  explicit Outcomes(Limits limits) : limits_(limits) {}

  void follow(std::string token, Sent sent, OutcomeClock::time_point now);
  /// The first failure of a token that is followed.
  std::optional<Failure> heard(const HistoryRow& row, OutcomeClock::time_point now);
  std::size_t size() const { return known_.size(); }
  /// Of those that were given up for their number, since the last call.
  std::size_t take_dropped() { return std::exchange(dropped_, 0); }

 private:
  struct Followed {
    std::string token;
    Sent sent;
    OutcomeClock::time_point until;
    bool is_told = false, is_ending = false;
  };
  using List = std::list<Followed>;
  void forget(List::iterator one);
  void drop_old(OutcomeClock::time_point now);

  Limits limits_;
  List open_, ending_;  // in the order in which their time is over
  std::unordered_map<std::string_view, List::iterator> known_;
  std::size_t dropped_ = 0;
};

/// A poller's failures of one kind: the first is written at once, those that follow are counted and written together after a pause.
class FailureLog {
 public:
  using Write = std::function<void(const std::string&)>;
  using NameOf = std::function<std::string(const std::string&)>;
  FailureLog(Write write, NameOf name_of) : write_(std::move(write)), name_of_(std::move(name_of)) {}

  void note(Failure failure, OutcomeClock::time_point now);
  /// Writes the counts that are due.
  void tell(OutcomeClock::time_point now);
  /// When tell() is next due.
  std::optional<OutcomeClock::time_point> due() const;

 private:
  struct Kind {
    OutcomeClock::time_point told;
    std::uint64_t untold = 0;
    Failure last;
  };
  void write(const Failure& failure, std::uint64_t count) const;

  Write write_;
  NameOf name_of_;
  std::unordered_map<std::string, Kind> kinds_;
};

}  // namespace gorgone::legacycmd
