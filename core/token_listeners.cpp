#include "core/token_listeners.hpp"

#include <algorithm>

namespace gorgone {
namespace {

constexpr std::size_t listeners_max = 10000;
constexpr int events_max = 1000;
constexpr std::int64_t pace_s = 30, timeout_s = 600, timeout_s_max = 86400;

}  // namespace

Result<void> TokenListeners::add(const json::value& list) {
  std::list<Listener> fresh;
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
  while (!fresh.empty()) {
    listeners_.splice(listeners_.end(), fresh, fresh.begin());
    const auto listener = std::prev(listeners_.end());
    listener->watch = journal_.watch(listener->token, [this, listener](const HistoryRow& row) { heard(listener, row); });
    listener->timer = std::make_unique<asio::steady_timer>(loop_);
    wait(listener);
  }
  return {};
}

// Every `pace` the target's log is asked for, until the time is up.
void TokenListeners::wait(Place listener) {
  const bool remote = !listener->target.empty() && listener->target != router_.own_id();
  const auto next = std::chrono::steady_clock::now() + listener->pace;
  listener->timer->expires_at(remote ? std::min(next, listener->until) : listener->until);
  listener->timer->async_wait([this, listener](const boost::system::error_code& error) {
    if (error) return;
    if (std::chrono::steady_clock::now() >= listener->until) {
      listeners_.erase(listener);
      return;
    }
    if (auto* gateway = router_.gateway()) gateway->fetch_log(listener->target, [](const Result<void>&) {});
    wait(listener);
  });
}

// The event runs under the same token and may write rows itself, which are heard again: so their number is bounded, and an event
// that is refused ends its listener.
void TokenListeners::heard(Place listener, const HistoryRow& row) {
  const Log log("core");
  if (++listener->events > events_max) {
    log.warning("listener for token {} ended: {} events", printable(listener->token), events_max);
    listeners_.erase(listener);
    return;
  }
  std::string data = R"({"code":)" + std::to_string(row.code) + R"(,"data":)" + (parse_json(row.data) ? row.data : "null") + "}";
  const auto event = listener->event, token = listener->token;
  bool refused = false;
  router_.submit(Message{event, row.token, {}, Payload(std::move(data)), {}},
                 [&refused](const Answer& answer) { refused = answer.code == code::failed; });
  if (!refused) return;
  log.warning("listener for token {} ended: its event {} was refused", printable(token), printable(event));
  listeners_.erase(listener);
}

}  // namespace gorgone
