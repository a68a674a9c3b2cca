#include "core/token_listeners.hpp"

#include <algorithm>

namespace gorgone {
namespace {

constexpr std::size_t listeners_max = 10000;
constexpr int events_max = 1000;
constexpr std::int64_t pace_s = 30, timeout_s = 600, timeout_s_max = 86400;

}  // namespace

Result<void> TokenListeners::add(const json::value& list) {
  std::vector<Listener> fresh;
  for (const auto& entry : list.as_array()) {
    Listener listener;
    listener.event = text_of(member(entry, "event")).value_or("");
    listener.token = text_of(member(entry, "token")).value_or("");
    listener.target = text_of(member(entry, "target")).value_or("");
    if (listener.event.empty() || listener.token.empty())
      return Error{"each listener needs an event and a token, got " + printable(to_text(entry))};
    listener.pace =
        std::chrono::seconds(std::clamp<std::int64_t>(integer_of(member(entry, "log_pace")).value_or(pace_s), 1, timeout_s_max));
    const auto timeout = std::clamp<std::int64_t>(integer_of(member(entry, "timeout")).value_or(timeout_s), 1, timeout_s_max);
    listener.until = std::chrono::steady_clock::now() + std::chrono::seconds(timeout);
    fresh.push_back(std::move(listener));
  }
  if (listeners_.size() + fresh.size() > listeners_max)
    return Error{"busy: " + std::to_string(listeners_.size()) + " listeners wait already"};
  for (auto& made : fresh) {
    const auto id = ++last_id_;
    auto& listener = listeners_.emplace(id, std::move(made)).first->second;
    listener.watch = journal_.watch(listener.token, [this, id](const HistoryRow& row) { heard(id, row); });
    listener.timer = std::make_unique<asio::steady_timer>(loop_);
    wait(id);
  }
  return {};
}

// Every `pace` the target's log is asked for, until the time is up.
void TokenListeners::wait(Id id) {
  auto& listener = listeners_.at(id);
  const bool remote = !listener.target.empty() && listener.target != router_.own_id();
  const auto next = std::chrono::steady_clock::now() + listener.pace;
  listener.timer->expires_at(remote ? std::min(next, listener.until) : listener.until);
  listener.timer->async_wait([this, id](const boost::system::error_code& error) {
    const auto found = error ? listeners_.end() : listeners_.find(id);
    if (found == listeners_.end()) return;
    if (std::chrono::steady_clock::now() >= found->second.until) {
      listeners_.erase(found);
      return;
    }
    const auto target = found->second.target;
    if (auto* gateway = router_.gateway()) gateway->fetch_log(target, [](const Result<void>&) {});
    if (listeners_.contains(id)) wait(id);
  });
}

// The event runs under the same token and may write rows itself, which are heard again: so their number is bounded, and an event
// that is refused ends its listener.
void TokenListeners::heard(Id id, const HistoryRow& row) {
  const auto found = listeners_.find(id);
  if (found == listeners_.end()) return;
  auto& listener = found->second;
  if (++listener.events > events_max) {
    Log("core").warning("listener for token {} ended: {} events", printable(listener.token), events_max);
    listeners_.erase(found);
    return;
  }
  std::string data = R"({"code":)" + std::to_string(row.code) + R"(,"data":)" + (parse_json(row.data) ? row.data : "null") + "}";
  const auto event = listener.event;
  // Some actions answer at once, others when the journal has, and by then anything may have ended.
  auto answered = [this, id, event, alive = std::weak_ptr<bool>(alive_)](const Answer& answer) {
    if (answer.code == code::failed && !alive.expired()) refused(id, event);
  };
  router_.submit(Message{event, row.token, {}, Payload(std::move(data)), {}}, std::move(answered));
}

void TokenListeners::refused(Id id, const std::string& event) {
  const auto found = listeners_.find(id);
  if (found == listeners_.end()) return;
  Log("core").warning("listener for token {} ended: its event {} was refused", printable(found->second.token), printable(event));
  listeners_.erase(found);
}

}  // namespace gorgone
