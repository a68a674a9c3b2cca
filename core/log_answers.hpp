#pragma once
// The text of answers to GETLOG. A whole history is much work: its text is made on the pool, and few such answers are in the making at a
// time, for each holds its rows in memory; other questions are many, and more of them are under way at once. Lives on the loop.

#include <gorgone/journal.hpp>

#include <boost/asio/io_context.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace gorgone {

class LogAnswers {
 public:
  using Pool = std::function<void(std::function<void()>)>;
  /// `own_id` is asked when the text is made.
  LogAnswers(boost::asio::io_context& loop, Journal& journal, Pool pool, std::function<std::string()> own_id)
      : loop_(loop), journal_(journal), pool_(std::move(pool)), own_id_(std::move(own_id)) {}

  /// Whoever holds it has one of the few places; the next one begins when it is gone. On the loop.
  using Place = std::shared_ptr<void>;
  using ReadDone = std::function<void(Result<Rows>, Place)>;
  /// As Journal::read, when there is a place; refused (code "busy") where too many wait for one.
  void read(const HistoryFilter& filter, ReadDone done);

  using Told = std::function<void(Result<std::string>)>;
  /// The data of the answer with these rows: {"action":"getlog","result":[…],"id":…}, and "more" where a portion was asked for and is full.
  void tell(const HistoryFilter& filter, Result<Rows> rows, Place place, Told done);

  static constexpr std::size_t at_once_max = 2, waiting_max = 100;  // of whole histories
  static constexpr std::size_t others_at_once_max = 16, others_waiting_max = 20000;

 private:
  struct Lane {
    std::size_t at_once, waiting_max, running = 0;
    std::deque<std::pair<HistoryFilter, ReadDone>> waiting = {};
  };
  void begin(Lane& lane, HistoryFilter filter, ReadDone done);
  void ended(Lane& lane);

  boost::asio::io_context& loop_;
  Journal& journal_;
  Pool pool_;
  std::function<std::string()> own_id_;
  Lane whole_{at_once_max, waiting_max}, others_{others_at_once_max, others_waiting_max};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone
