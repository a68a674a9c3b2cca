#pragma once
// When to ping a node and when to give its connection up, without I/O. Times are seconds of a steady clock; the members of
// CONSTATUS are kept in seconds since 1970.

#include <gorgone/flow_watch.hpp>
#include <gorgone/json.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace gorgone::proxy {

class PingWatch {
 public:
  struct Limits {
    std::int64_t interval_s = 60;
    std::int64_t answer_s = 10;  ///< for one pong, once nothing moves any more; after a lost one the next ping follows at once
    int lost_max = 3;            ///< pings in a row without a pong: the connection is made anew
  };
  enum class Due { nothing, ping, reset };

  explicit PingWatch(Limits limits) : limits_(limits) {}

  void link_up(std::int64_t now);
  void link_down();
  /// Something that should have been answered was not: the next ping is due now.
  void hasten(std::int64_t now);
  bool is_awaited() const { return answer_until_.has_value(); }
  /// To be told before on_clock() while a pong is awaited: it is not late while the line is busy with what goes before it. True where it
  /// is.
  bool moves(std::int64_t now, const LinkFlow& flow);
  /// Since when pings are unanswered and nothing moves; nothing where none is.
  std::optional<std::int64_t> unanswered_since() const { return unanswered_since_; }
  Due on_clock(std::int64_t now, std::int64_t wall);
  /// The link took no ping: tried again in a second.
  void not_sent(std::int64_t now) { next_ = now + 1; }
  /// `flow` as it was before the ping.
  void sent(std::string token, std::int64_t now, std::int64_t wall, const LinkFlow& flow = {});
  /// Something else came, so the node is there: pings that were lost before do not count any more.
  void heard(std::int64_t now) {
    lost_ = 0;
    if (unanswered_since_) unanswered_since_ = now;
  }
  /// True where `token` is that of the ping under way.
  bool pong(const std::string& token, std::int64_t now, std::int64_t wall);
  std::optional<std::int64_t> deadline() const;

  /// The members of CONSTATUS that are known from deployed daemons.
  void describe(json::object& out) const;
  /// Whether there was a pong, and in the last `seconds`, whatever the time of day has become meanwhile.
  bool has_ponged() const { return last_pong_.has_value(); }
  bool has_ponged_within(std::int64_t seconds, std::int64_t now) const { return last_pong_ && now - *last_pong_ <= seconds; }

 private:
  Limits limits_;
  bool up_ = false;
  std::string token_;  // of the ping under way
  std::optional<std::int64_t> next_, answer_until_, unanswered_since_, last_pong_;
  std::int64_t look_ = 0;  // at the line, while a pong is awaited
  FlowWatch flow_;
  int lost_ = 0;
  std::int64_t ok_ = 0, failed_ = 0, timeouts_ = 0, last_sent_ = 0, last_received_ = 0, next_wall_ = 0;
};

}  // namespace gorgone::proxy
