#include "follower.hpp"

namespace gorgone::legacycmd {
namespace {

constexpr auto dropped_told_after = std::chrono::minutes(1);
constexpr auto all_due_after = std::chrono::hours(1);

}  // namespace

Follower::Follower(Agent& agent, const Pollers& pollers)
    : agent_(agent),
      failures_([this](const std::string& line) { agent_.log().error("{}", line); },
                [&pollers](const std::string& id) { return pollers.name_of(id); }),
      noted_(agent.loop()) {}

void Follower::follow(std::string token, Sent sent) {
  const auto now = Signal::Clock::now();
  outcomes_.follow(std::move(token), std::move(sent), now);
  // One for all of them: rows come in hundreds, and most are of tokens that are followed.
  if (!watch_) watch_ = agent_.journal().watch({}, [this](const HistoryRow& row) { heard(row); });
  if (now < dropped_told_ + dropped_told_after) return;
  if (const auto dropped = outcomes_.take_dropped(); dropped > 0) {
    agent_.log().notice("more messages are under way than are followed: failures of the {} oldest would be in the history only", dropped);
    dropped_told_ = now;
  }
}

void Follower::heard(const HistoryRow& row) {
  const auto now = Signal::Clock::now();
  auto failure = outcomes_.heard(row, now);
  if (failure) {
    failures_.note(std::move(*failure), now);
    noted_.notify();
  }
  if (outcomes_.size() == 0) watch_.reset();
}

asio::awaitable<void> Follower::run() {
  for (;;) {
    const auto until = failures_.due().value_or(Signal::Clock::time_point::max());
    co_await noted_.wait(until);
    failures_.tell(Signal::Clock::now());
  }
}

void Follower::settle() {
  watch_.reset();
  failures_.tell(Signal::Clock::now() + all_due_after);
}

}  // namespace gorgone::legacycmd
