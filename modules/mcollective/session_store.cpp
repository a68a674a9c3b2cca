#include "session_store.hpp"

#include <boost/asio/redirect_error.hpp>

#include <utility>

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

constexpr const char* collection = "mcollective.session";
constexpr std::chrono::milliseconds delay = 500ms, after_failure = 5s;
constexpr std::chrono::milliseconds finish_limit = 5s, finish_step = 5ms;

}  // namespace

// Outlives the store: the journal calls back when it has committed.
struct SessionStore::State {
  std::size_t owed = 0;
  std::unordered_set<std::string> failed;
  std::string failure;
};

SessionStore::SessionStore(Agent& agent, RecordOf record_of)
    : agent_(agent), record_of_(std::move(record_of)), timer_(agent.loop()), state_(std::make_shared<State>()) {}

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
  if (state_->owed > 0) return arm(delay);
  for (const auto& routing_id : std::exchange(marked_, {})) {
    ++state_->owed;
    auto done = [state = state_, routing_id](const Result<void>& outcome) {
      --state->owed;
      if (outcome) return;
      state->failed.insert(routing_id);
      state->failure = outcome.error().message;
    };
    if (auto record = record_of_(routing_id))
      agent_.journal().keep(collection, routing_id, std::move(*record), std::move(done));
    else
      agent_.journal().drop_kept(collection, routing_id, std::move(done));
  }
  if (state_->owed > 0) arm(delay);
}

asio::awaitable<void> SessionStore::finish() {
  const auto limit = std::chrono::steady_clock::now() + finish_limit;
  timer_.cancel();
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
