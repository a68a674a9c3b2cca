#pragma once
// GETLOG with `wait` (docs/protocol.md, "Rows as they are written"): a question for rows that are not there yet is held until they are,
// or its time is up. Bounded in number and time. On the loop.

#include <gorgone/journal.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <list>
#include <memory>

namespace gorgone {

class LogWaiters {
 public:
  using Done = std::function<void(Result<Rows>)>;
  LogWaiters(boost::asio::io_context& loop, Journal& journal) : journal_(journal), timer_(loop) {}

  /// `done` gets the rows that fit, once there are any, or none when the time is up.
  void wait(HistoryFilter filter, std::chrono::seconds time, Done done);
  /// Nobody is answered any more.
  void clear();

 private:
  static constexpr auto never = std::chrono::steady_clock::time_point::max();
  struct Waiter {
    HistoryFilter filter;
    std::chrono::steady_clock::time_point until;
    Done done;
    bool is_asked = false;  // its rows are being read
    bool is_stale = false;  // another row has come meanwhile
  };
  using Place = std::list<Waiter>::iterator;
  void on_row(const HistoryRow& row);
  void look(Place place);
  void arm();

  Journal& journal_;
  std::list<Waiter> waiters_;
  std::shared_ptr<void> watch_;
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point armed_until_ = never;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone
