#pragma once
// The text of answers to GETLOG. A whole history is much work: it is read in portions up to a bound, its text is made on the pool, and few
// such answers are in the making at a time, for each holds its rows in memory; other questions are many, and more of them are under way at
// once. Lives on the loop.

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
  /// `own_id` is asked when the text is made. An answer for which no portion was asked ends where its rows have come to `bytes_max`.
  LogAnswers(boost::asio::io_context& loop, Journal& journal, Pool pool, std::function<std::string()> own_id, std::size_t bytes_max)
      : loop_(loop), journal_(journal), pool_(std::move(pool)), own_id_(std::move(own_id)), bytes_max_(bytes_max) {}

  /// Whoever holds it has one of the few places; the next one begins when it is gone. On the loop.
  using Place = std::shared_ptr<void>;
  using ReadDone = std::function<void(Result<Rows>, Place)>;
  /// As Journal::read, when there is a place; refused (code "busy") where too many wait for one. Of more than the bound the oldest are
  /// read, as many as leave nothing out for one who then asks for what comes behind their newest ctime, or behind the id by which he asked.
  void read(const HistoryFilter& filter, ReadDone done);

  using Told = std::function<void(Result<std::string>)>;
  /// Makes the text of an answer, on the pool where it is long; whether there may be more rows.
  using Write = std::function<std::string(const Rows&, bool)>;
  void tell(const HistoryFilter& filter, Result<Rows> rows, Place place, Write write, Told done);
  /// The data of the answer with these rows: {"action":"getlog","result":[…],"id":…}, and "more" where there may be.
  void tell(const HistoryFilter& filter, Result<Rows> rows, Place place, Told done);

  static constexpr std::size_t at_once_max = 2, waiting_max = 100;  // of whole histories
  static constexpr std::size_t others_at_once_max = 16, others_waiting_max = 20000;

 private:
  struct Lane {
    std::size_t at_once, waiting_max, running = 0;
    std::deque<std::pair<HistoryFilter, ReadDone>> waiting = {};
  };
  struct Reading;
  void begin(Lane& lane, HistoryFilter filter, ReadDone done);
  void read_on(std::shared_ptr<Reading> reading);
  void ended(Lane& lane);

  boost::asio::io_context& loop_;
  Journal& journal_;
  Pool pool_;
  std::function<std::string()> own_id_;
  std::size_t bytes_max_;
  Lane whole_{at_once_max, waiting_max}, others_{others_at_once_max, others_waiting_max};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone
