#include "session_store.hpp"

#include <boost/asio/redirect_error.hpp>

#include <unordered_map>
#include <utility>

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

constexpr const char* collection = "mcollective.session";
constexpr std::chrono::milliseconds delay = 500ms, after_failure = 5s, waited_for = 500ms;
constexpr std::chrono::milliseconds finish_limit = 5s, finish_step = 5ms;

}  // namespace

// Outlives the store: the journal calls back when it has committed.
struct SessionStore::State {
  SessionStore* store = nullptr;         ///< nullptr: it is gone
  std::size_t owed = 0, owed_later = 0;  ///< all, and those of flush()
  std::unordered_set<std::string> failed;
  std::string failure;
  std::unordered_map<std::string, Waiters> writing;  ///< sessions that are being written for somebody, and who waits for the next time
};

SessionStore::SessionStore(Agent& agent, RecordOf record_of)
    : agent_(agent), record_of_(std::move(record_of)), timer_(agent.loop()), limit_(agent.loop()), state_(std::make_shared<State>()) {
  state_->store = this;
}

SessionStore::~SessionStore() { state_->store = nullptr; }

asio::awaitable<Result<Kept>> SessionStore::load() {
  auto start = [this](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    agent_.journal().kept(collection, [shared](Result<Kept> kept) { (*shared)(std::move(kept)); });
  };
  const auto& token = asio::use_awaitable;
  co_return co_await asio::async_initiate<decltype(asio::use_awaitable) const&, void(Result<Kept>)>(start, token);
}

void SessionStore::mark(const std::string& routing_id) {
  marked_.insert(routing_id);
  arm(delay);
}

void SessionStore::arm(std::chrono::milliseconds after) {
  if (is_finishing_ || std::exchange(is_armed_, true)) return;
  timer_.expires_after(after);
  timer_.async_wait([this](const boost::system::error_code& ended) {
    if (ended || is_finishing_) return;
    is_armed_ = false;
    flush();
  });
}

void SessionStore::flush() {
  const bool has_failed = !state_->failed.empty();
  if (has_failed) {
    agent_.log().error("sessions of {} clients are not in the journal, a restart would forget them; tried again in 5 s: {}",
                       state_->failed.size(), state_->failure);
    marked_.merge(std::exchange(state_->failed, {}));
    // Once more in a while, not at once: the journal is what is ill.
    return arm(after_failure);
  }
  // A journal that is slow gets the newest state later, not every state.
  if (state_->owed_later > 0) return arm(delay);
  for (const auto& routing_id : std::exchange(marked_, {})) {
    ++state_->owed_later;
    write(routing_id, [state = state_](const Result<void>&) { --state->owed_later; });
  }
  if (state_->owed_later > 0) arm(delay);
}

void SessionStore::write(const std::string& routing_id, std::function<void(const Result<void>&)> done) {
  ++state_->owed;
  auto written = [state = state_, routing_id, done = std::move(done)](const Result<void>& outcome) {
    --state->owed;
    if (!outcome) {
      state->failed.insert(routing_id);
      state->failure = outcome.error().message;
      if (state->store) state->store->arm(delay);
    }
    done(outcome);
  };
  if (auto record = record_of_(routing_id))
    agent_.journal().keep(collection, routing_id, std::move(*record), std::move(written));
  else
    agent_.journal().drop_kept(collection, routing_id, std::move(written));
}

void SessionStore::keep(const std::string& routing_id, std::function<void()> done) {
  if (!is_waited_for_) {
    mark(routing_id);
    return done();
  }
  waiting_.push_back(std::make_shared<Waiter>(Waiter{std::move(done), std::chrono::steady_clock::now() + waited_for}));
  const bool is_written = state_->writing.contains(routing_id);
  state_->writing[routing_id].push_back(waiting_.back());
  watch_time();
  // What comes while it is being written is written together behind that.
  if (!is_written) write_now(routing_id);
}

void SessionStore::write_now(const std::string& routing_id) {
  marked_.erase(routing_id);
  auto waiters = std::exchange(state_->writing[routing_id], {});
  write(routing_id, [state = state_, routing_id, waiters = std::move(waiters)](const Result<void>&) {
    if (!state->store) return;
    auto& store = *state->store;
    if (!store.is_hurried_) store.is_waited_for_ = true;
    for (const auto& waiter : waiters) tell(*waiter);
    if (state->writing[routing_id].empty())
      state->writing.erase(routing_id);
    else
      store.write_now(routing_id);
  });
}

void SessionStore::tell(Waiter& waiter) {
  if (const auto done = std::exchange(waiter.done, {})) done();
}

void SessionStore::watch_time() {
  while (!waiting_.empty() && !waiting_.front()->done) waiting_.pop_front();
  if (is_watching_ || waiting_.empty()) return;
  is_watching_ = true;
  limit_.expires_at(waiting_.front()->until);
  limit_.async_wait([this](const boost::system::error_code& ended) {
    if (ended) return;
    is_watching_ = false;
    while (!waiting_.empty() && waiting_.front()->until <= std::chrono::steady_clock::now()) {
      const auto late = std::move(waiting_.front());
      waiting_.pop_front();
      if (!late->done) continue;
      is_waited_for_ = false;
      tell(*late);
    }
    watch_time();
  });
}

void SessionStore::hurry() {
  is_hurried_ = true;
  is_waited_for_ = false;
  for (const auto& waiter : std::exchange(waiting_, {})) tell(*waiter);
}

asio::awaitable<void> SessionStore::finish() {
  const auto limit = std::chrono::steady_clock::now() + finish_limit;
  timer_.cancel();
  limit_.cancel();
  is_finishing_ = true;
  bool is_last = false;
  while (std::chrono::steady_clock::now() < limit) {
    if (state_->owed == 0) {
      if (is_last) co_return;
      // What was marked while earlier records were being written.
      flush();
      is_last = true;
    }
    timer_.expires_after(finish_step);
    boost::system::error_code ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await timer_.async_wait(token);
  }
}

}  // namespace gorgone::mcollective
