#include "ping_watch.hpp"

#include <algorithm>

namespace gorgone::proxy {

void PingWatch::link_up(std::int64_t now) {
  up_ = true;
  lost_ = 0;
  token_.clear();
  answer_until_.reset();
  unanswered_since_.reset();
  next_ = now;
}

void PingWatch::link_down() {
  if (!token_.empty()) ++failed_;
  up_ = false;
  token_.clear();
  next_.reset();
  answer_until_.reset();
  unanswered_since_.reset();
}

void PingWatch::hasten(std::int64_t now) {
  if (next_ && *next_ > now) next_ = now;
}

bool PingWatch::moves(std::int64_t now, const LinkFlow& flow) {
  if (!answer_until_) return false;
  look_ = now + FlowWatch::look_every_s;
  if (!flow_.moves(flow)) return false;
  answer_until_ = now + limits_.answer_s;
  heard(now);
  return true;
}

PingWatch::Due PingWatch::on_clock(std::int64_t now, std::int64_t wall) {
  if (!up_) return Due::nothing;
  if (answer_until_ && now >= *answer_until_) {
    ++timeouts_;
    ++failed_;
    ++lost_;
    token_.clear();
    answer_until_.reset();
    next_ = now;
    next_wall_ = wall;
    if (lost_ >= limits_.lost_max) return Due::reset;
  }
  return next_ && now >= *next_ && !answer_until_ ? Due::ping : Due::nothing;
}

void PingWatch::sent(std::string token, std::int64_t now, std::int64_t wall, const LinkFlow& flow) {
  token_ = std::move(token);
  answer_until_ = now + limits_.answer_s;
  next_ = now + limits_.interval_s;
  last_sent_ = wall;
  next_wall_ = wall + limits_.interval_s;
  if (!unanswered_since_) unanswered_since_ = now;
  look_ = now + FlowWatch::look_every_s;
  flow_.ask(flow);
}

bool PingWatch::pong(const std::string& token, std::int64_t now, std::int64_t wall) {
  last_received_ = wall;
  last_pong_ = now;
  if (token.empty() || token != token_) return false;
  token_.clear();
  answer_until_.reset();
  unanswered_since_.reset();
  lost_ = 0;
  ++ok_;
  if (next_ && *next_ < now) next_ = now;
  return true;
}

std::optional<std::int64_t> PingWatch::deadline() const {
  if (!up_) return {};
  return answer_until_ ? std::min(*answer_until_, look_) : next_;
}

void PingWatch::describe(json::object& out) const {
  out["in_progress_ping"] = token_.empty() ? 0 : 1;
  out["ping_timeout"] = timeouts_;
  out["last_ping_sent"] = last_sent_;
  out["last_ping_recv"] = last_received_;
  out["next_ping"] = next_wall_;
  out["ping_ok"] = ok_;
  out["ping_failed"] = failed_;
}

}  // namespace gorgone::proxy
