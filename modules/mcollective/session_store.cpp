#include "session_store.hpp"

#include <boost/asio/redirect_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "kept_store.hpp"
#include "session_record.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

const std::string collection = "mcollective.session", topics_collection = "mcollective.session_topics";
constexpr std::size_t number_digits = 8, parts_max = 1'000'000, portion = 5000;
constexpr std::chrono::milliseconds delay = 500ms, after_failure = 5s, waited_for = 500ms;
constexpr std::chrono::milliseconds finish_limit = 5s, finish_step = 5ms;

std::string key_of(const std::string& routing_id, std::size_t part) { return fmt::format("{}{:0{}x}", routing_id, part, number_digits); }

std::uint64_t digest_of(std::string_view part) { return std::max<std::uint64_t>(1, std::hash<std::string_view>{}(part)); }

}  // namespace

// Outlives the store: the journal calls back when it has committed.
struct SessionStore::State {
  SessionStore* store = nullptr;         ///< nullptr: it is gone
  std::size_t owed = 0, owed_later = 0;  ///< all, and those of flush()
  std::unordered_set<std::string> failed;
  std::string failure;
  struct Writing {
    Waiters waiters;  ///< for the next time
    bool is_outdated = false;
  };
  std::unordered_map<std::string, Writing> writing;  ///< sessions that are being written
};

SessionStore::SessionStore(Agent& agent, RecordOf record_of)
    : agent_(agent), record_of_(std::move(record_of)), timer_(agent.loop()), limit_(agent.loop()), state_(std::make_shared<State>()) {
  state_->store = this;
}

SessionStore::~SessionStore() { state_->store = nullptr; }

asio::awaitable<Result<Kept>> SessionStore::load() {
  KeptRange range;
  auto sessions = co_await kept_records(agent_.journal(), collection, range);
  if (!sessions) co_return sessions;
  range.limit = portion;
  for (;;) {
    const auto part = co_await kept_records(agent_.journal(), topics_collection, range);
    if (!part) co_return part.error();
    if (part->empty()) break;
    range.from = part->rbegin()->first + '\0';
    // The parts of one session come in their order. One may be missing after a kill.
    for (const auto& [key, topics] : *part) {
      const auto number_at = key.size() - std::min(key.size(), number_digits);
      const auto number = std::strtoull(key.c_str() + number_at, nullptr, 16);
      const auto session = sessions->find(key.substr(0, number_at));
      if (session == sessions->end() || number == 0 || number > parts_max) {
        agent_.journal().drop_kept(topics_collection, key);
        continue;
      }
      auto& digests = written_[session->first];
      if (digests.size() <= number) digests.resize(number + 1);
      digests[number] = digest_of(topics);
      session->second += topics;
    }
  }
  co_return sessions;
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
    write(routing_id, [state = state_] { --state->owed_later; });
  }
  if (state_->owed_later > 0) arm(delay);
}

void SessionStore::write(const std::string& routing_id, std::function<void()> done) {
  const auto record = record_of_(routing_id);
  const auto parts = record ? parts_of(*record) : std::vector<std::string_view>();
  struct Whole {
    std::size_t owed, parts;
    std::optional<Error> failure;
    std::function<void()> done;
  };
  const auto known = written_.find(routing_id);
  const auto count = std::max(parts.size(), known == written_.end() ? 1 : known->second.size());
  const auto changed = changed_parts(routing_id, parts);
  auto whole = std::make_shared<Whole>(Whole{changed.size(), count, {}, std::move(done)});
  ++state_->owed;
  auto written = [state = state_, routing_id, whole](const Result<void>& outcome) {
    if (!outcome) whole->failure = outcome.error();
    if (--whole->owed > 0) return;
    --state->owed;
    if (whole->failure) {
      state->failed.insert(routing_id);
      state->failure = whole->failure->message;
      if (state->store) state->store->doubt(routing_id, whole->parts);
    }
    whole->done();
  };
  // In this order a kill between two commits leaves a topic twice rather than nowhere.
  for (const auto part : changed) {
    const auto& of = part == 0 ? collection : topics_collection;
    auto key = part == 0 ? routing_id : key_of(routing_id, part);
    if (part < parts.size())
      agent_.journal().keep(of, std::move(key), std::string(parts[part]), written);
    else
      agent_.journal().drop_kept(of, std::move(key), written);
  }
}

// The first one is always one of them. In the order in which they are to be written: a topic goes to an earlier part, where it takes the
// place of one that has ended, and out of the first part where there are others now.
std::vector<std::size_t> SessionStore::changed_parts(const std::string& routing_id, const std::vector<std::string_view>& parts) {
  std::vector<std::size_t> changed{0};
  const auto known = written_.find(routing_id);
  if (parts.size() <= 1 && known == written_.end()) return changed;
  auto& digests = known == written_.end() ? written_[routing_id] : known->second;
  const auto before = digests.size();
  digests.resize(std::max(before, parts.size()));
  for (std::size_t i = 1; i < digests.size(); ++i) {
    const auto digest = i < parts.size() ? digest_of(parts[i]) : 0;
    if (i < parts.size() && digest == digests[i]) continue;
    digests[i] = digest;
    changed.push_back(i);
  }
  digests.resize(parts.size());
  if (parts.size() <= 1)
    written_.erase(routing_id);
  else
    std::rotate(changed.begin(), changed.begin() + 1, changed.end());
  return changed;
}

// All of it is written the next time.
void SessionStore::doubt(const std::string& routing_id, std::size_t parts) {
  arm(delay);
  if (parts <= 1) return;
  auto& digests = written_[routing_id];
  digests.assign(std::max(digests.size(), parts), 0);
}

void SessionStore::keep(const std::string& routing_id, std::function<void()> done) {
  if (!is_waited_for_) {
    mark(routing_id);
    if (done) done();
    return;
  }
  const bool is_written = state_->writing.contains(routing_id);
  auto& writing = state_->writing[routing_id];
  writing.is_outdated = true;
  if (done) {
    waiting_.push_back(std::make_shared<Waiter>(Waiter{std::move(done), std::chrono::steady_clock::now() + waited_for}));
    writing.waiters.push_back(waiting_.back());
    watch_time();
  }
  // What comes while it is being written is written together behind that.
  if (!is_written) write_now(routing_id);
}

void SessionStore::write_now(const std::string& routing_id) {
  marked_.erase(routing_id);
  auto now = std::exchange(state_->writing[routing_id], {});
  write(routing_id, [state = state_, routing_id, waiters = std::move(now.waiters)] {
    if (!state->store) return;
    auto& store = *state->store;
    if (!store.is_hurried_) store.is_waited_for_ = true;
    for (const auto& waiter : waiters) tell(*waiter);
    if (state->writing[routing_id].is_outdated)
      store.write_now(routing_id);
    else
      state->writing.erase(routing_id);
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
