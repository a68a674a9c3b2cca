#include "core/log_waiters.hpp"

#include <algorithm>
#include <utility>

namespace gorgone {
namespace {

constexpr std::size_t waiters_max = 1000;

}  // namespace

void LogWaiters::wait(HistoryFilter filter, std::chrono::seconds time, Done done) {
  // The one that has waited longest is likely of a peer that has gone.
  if (waiters_.size() >= waiters_max) {
    const auto oldest = std::find_if(waiters_.begin(), waiters_.end(), [](const Waiter& waiter) { return !waiter.is_asked; });
    if (oldest != waiters_.end()) {
      const auto told = std::move(oldest->done);
      waiters_.erase(oldest);
      told(Rows{});
    }
  }
  waiters_.push_back(Waiter{std::move(filter), std::chrono::steady_clock::now() + time, std::move(done)});
  if (!watch_) watch_ = journal_.watch({}, [this](const HistoryRow& row) { on_row(row); });
  arm();
}

void LogWaiters::clear() {
  *alive_ = false;
  watch_.reset();
  timer_.cancel();
  waiters_.clear();
}

void LogWaiters::on_row(const HistoryRow& row) {
  for (auto waiter = waiters_.begin(); waiter != waiters_.end(); ++waiter)
    if (waiter->is_asked)
      waiter->is_stale = true;
    else if (row.ctime > waiter->filter.ctime_after.value_or(0))
      look(waiter);
}

void LogWaiters::look(Place place) {
  place->is_asked = true;
  journal_.read(place->filter, [this, place, alive = std::weak_ptr<bool>(alive_)](Result<Rows> rows) {
    const auto still = alive.lock();
    if (!still || !*still) return;
    place->is_asked = false;
    if (rows && rows->empty()) {
      if (std::exchange(place->is_stale, false))
        look(place);
      else if (place->until < armed_until_)
        arm();
      return;
    }
    const auto done = std::move(place->done);
    waiters_.erase(place);
    done(std::move(rows));
    if (waiters_.empty()) {
      watch_.reset();
      timer_.cancel();
    }
  });
}

// One whose rows are being read is passed over until they are there: its time may be up by then.
void LogWaiters::arm() {
  armed_until_ = never;
  for (const auto& waiter : waiters_)
    if (!waiter.is_asked) armed_until_ = std::min(armed_until_, waiter.until);
  if (armed_until_ == never) return;
  timer_.expires_at(armed_until_);
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    const auto now = std::chrono::steady_clock::now();
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      if (waiter->is_asked || waiter->until > now) {
        ++waiter;
        continue;
      }
      const auto done = std::move(waiter->done);
      waiter = waiters_.erase(waiter);
      done(Rows{});
    }
    arm();
  });
}

}  // namespace gorgone
