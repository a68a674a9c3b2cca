#include "keepalive.hpp"

#include <algorithm>

namespace gorgone::pull {

void Keepalive::link_up(std::int64_t now) {
  next_registration_ = next_ping_ = now;
  answer_until_.reset();
}

void Keepalive::link_down() {
  next_registration_.reset();
  next_ping_.reset();
  answer_until_.reset();
}

Keepalive::Due Keepalive::on_clock(std::int64_t now) {
  Due due;
  if (answer_until_ && now >= *answer_until_) {
    link_down();
    due.reset = true;
    return due;
  }
  if (next_registration_ && now >= *next_registration_) {
    due.registration = true;
    next_registration_ = now + limits_.register_s;
  }
  if (next_ping_ && now >= *next_ping_) {
    due.ping = true;
    next_ping_ = now + limits_.ping_s;
    // A ping that follows one without an answer gives it no more time.
    if (!answer_until_) answer_until_ = now + limits_.answer_s;
  }
  return due;
}

std::optional<std::int64_t> Keepalive::deadline() const {
  if (!next_ping_) return {};
  const auto next = std::min(*next_registration_, *next_ping_);
  return answer_until_ ? std::min(next, *answer_until_) : next;
}

}  // namespace gorgone::pull
