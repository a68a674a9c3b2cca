#include "core/log_answers.hpp"

#include <gorgone/json.hpp>

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace gorgone {
namespace {

// So much takes the loop a millisecond.
constexpr std::size_t long_bytes = std::size_t{64} << 10;
constexpr std::size_t bytes_of_a_row = 300;
constexpr std::size_t portion_rows = 1000;

bool may_be_long(const HistoryFilter& filter) { return !filter.portion && !filter.limit && !filter.token; }

std::size_t bytes_of(const Rows& rows) {
  std::size_t bytes = rows.size() * bytes_of_a_row;
  for (const auto& row : rows) bytes += row.token.size() + row.data.size();
  return bytes;
}

std::string text_of_answer(const Rows& rows, const std::string& id, bool has_more, bool with_origins) {
  std::string text = R"({"action":"getlog","result":)" + rows_to_json(rows, with_origins) + R"(,"id":)";
  append_json_string(text, id);
  if (has_more) text += R"(,"more":1)";
  text += '}';
  return text;
}

}  // namespace

/// A log that is read portion by portion, so that others are read in between.
struct LogAnswers::Reading {
  HistoryFilter filter;  // of the next portion
  ReadDone done;
  Place place;
  Rows rows = {};
  std::size_t bytes = 0;
};

void LogAnswers::read(const HistoryFilter& filter, ReadDone done) {
  auto& lane = may_be_long(filter) ? whole_ : others_;
  if (lane.running < lane.at_once) return begin(lane, filter, std::move(done));
  if (lane.waiting.size() < lane.waiting_max) {
    lane.waiting.emplace_back(filter, std::move(done));
    return;
  }
  done(Error{fmt::format("busy: {} questions for the log wait already", lane.waiting_max), "busy"}, {});
}

void LogAnswers::begin(Lane& lane, HistoryFilter filter, ReadDone done) {
  ++lane.running;
  Place place(nullptr, [this, &lane, alive = std::weak_ptr<bool>(alive_)](void*) {
    if (!alive.expired()) ended(lane);
  });
  if (!filter.portion && !filter.limit) {
    filter.portion = portion_rows;
    return read_on(std::make_shared<Reading>(Reading{std::move(filter), std::move(done), std::move(place)}));
  }
  journal_.read(std::move(filter),
                [done = std::move(done), place = std::move(place)](Result<Rows> rows) mutable { done(std::move(rows), std::move(place)); });
}

void LogAnswers::read_on(std::shared_ptr<Reading> reading) {
  const auto& asked = reading->filter;
  journal_.read(asked, [this, reading, alive = std::weak_ptr<bool>(alive_)](Result<Rows> portion) mutable {
    if (alive.expired()) return;
    if (!portion) return reading->done(portion.error(), std::move(reading->place));
    std::size_t data = 0;
    for (const auto& row : *portion) data += row.data.size();
    const bool is_all = portion->size() < portion_rows && data < HistoryFilter::portion_bytes;
    reading->bytes += bytes_of(*portion);
    auto& rows = reading->rows;
    rows.insert(rows.end(), std::make_move_iterator(portion->begin()), std::make_move_iterator(portion->end()));
    if (!is_all && reading->bytes < bytes_max_) {
      auto& next = reading->filter;
      if (next.id_after && !next.ctime_after)
        next.id_after = rows.back().id;
      else
        next.ctime_after = rows.back().ctime;
      return read_on(std::move(reading));
    }
    std::ranges::stable_sort(rows, {}, &HistoryRow::id);
    reading->done(std::move(rows), std::move(reading->place));
  });
}

void LogAnswers::ended(Lane& lane) {
  --lane.running;
  if (lane.waiting.empty()) return;
  auto next = std::move(lane.waiting.front());
  lane.waiting.pop_front();
  begin(lane, std::move(next.first), std::move(next.second));
}

void LogAnswers::tell(const HistoryFilter& filter, Result<Rows> rows, Place place, Told done) {
  auto write = [id = own_id_(), with_origins = filter.with_origins](const Rows& told, bool has_more) {
    return text_of_answer(told, id, has_more, with_origins);
  };
  tell(filter, std::move(rows), std::move(place), std::move(write), std::move(done));
}

void LogAnswers::tell(const HistoryFilter& filter, Result<Rows> rows, Place place, Write write, Told done) {
  if (!rows) return done(rows.error());
  std::size_t bytes = 0;
  for (const auto& row : *rows) bytes += row.data.size();
  const bool is_portion = filter.portion && (rows->size() >= *filter.portion || bytes >= HistoryFilter::portion_bytes);
  const bool has_more = is_portion || (!filter.portion && !filter.limit && bytes_of(*rows) >= bytes_max_);
  if (bytes + rows->size() * bytes_of_a_row < long_bytes) return done(write(*rows, has_more));
  struct Work {
    Rows rows;
    Place place;
    Write write;
    Told done;
    std::string text = {};
  };
  auto work = std::make_shared<Work>(Work{std::move(*rows), std::move(place), std::move(write), std::move(done)});
  pool_([this, work, has_more, alive = std::weak_ptr<bool>(alive_)]() mutable {
    work->text = work->write(work->rows, has_more);
    Rows().swap(work->rows);  // here too: each row is some blocks of memory to give back
    boost::asio::post(loop_, [work = std::move(work), alive] {
      if (!alive.expired()) work->done(std::move(work->text));
    });
  });
}

}  // namespace gorgone
