#pragma once
// What the configuration database says of the pollers, kept while it is away. On the loop.

#include <gorgone/database.hpp>

#include <map>
#include <optional>
#include <string>

#include "orders.hpp"
#include "signal.hpp"

namespace gorgone::legacycmd {

class Pollers {
 public:
  using Clock = Signal::Clock;
  Pollers(Agent& agent, Database& database, std::chrono::seconds interval);

  /// Reads it at once, then at each interval and when somebody wants it; to its cancellation.
  asio::awaitable<void> run();

  /// What is known of a poller well enough to act: nothing where the database does not know it. Waits while that cannot be said. What
  /// is known already is not waited for where `may_be_old`, else for a few seconds until the database has been asked after `since`.
  asio::awaitable<std::optional<Poller>> find(std::string id, bool may_be_old, Clock::time_point since);

  /// Empty where it is not known.
  std::string name_of(const std::string& id) const;
  const std::string& illegal_characters() const { return illegal_characters_; }

 private:
  asio::awaitable<bool> read();
  void tell_away(const std::string& why);
  void tell_back();
  void want() {
    is_wanted_ = true;
    wanted_.notify();
  }

  Agent& agent_;
  Database& database_;
  std::chrono::seconds interval_;
  std::map<std::string, Poller> pollers_;
  std::string illegal_characters_ = "`";
  Signal wanted_, ended_;
  bool is_wanted_ = false;
  bool is_away_ = false;
  std::string away_token_;                         // of the rows that tell it
  std::optional<Clock::time_point> asked_, read_;  // when the last attempt that has ended began, and the last that succeeded
};

}  // namespace gorgone::legacycmd
