#include "keepalive.hpp"

#include <algorithm>
#include <array>

namespace gorgone::pull {
namespace {

// A deployed parent that was restarted opens its port some seconds before it knows what to do with a registration.
constexpr std::array<std::int64_t, 2> early_pauses_s = {5, 10};

}  // namespace

void Keepalive::link_up(std::int64_t now) {
  registrations_ = 0;
  next_registration_ = next_ping_ = now;
  answer_until_.reset();
}

void Keepalive::link_down() {
  next_registration_.reset();
  next_ping_.reset();
  answer_until_.reset();
}

Keepalive::Due Keepalive::on_clock(std::int64_t now, const LinkFlow& flow) {
  Due due;
  if (answer_until_ && flow_.moves(flow)) answer_until_ = now + limits_.answer_s;
  look_ = now + FlowWatch::look_every_s;
  if (answer_until_ && now >= *answer_until_) {
    link_down();
    due.reset = true;
    return due;
  }
  if (next_registration_ && now >= *next_registration_) {
    due.registration = true;
    const auto pause = registrations_ < early_pauses_s.size() ? early_pauses_s[registrations_] : limits_.register_s;
    ++registrations_;
    next_registration_ = now + std::min(pause, limits_.register_s);
  }
  if (next_ping_ && now >= *next_ping_) {
    due.ping = true;
    next_ping_ = now + limits_.ping_s;
    // A ping that follows one without an answer gives it no more time.
    if (!answer_until_) {
      answer_until_ = now + limits_.answer_s;
      flow_.ask(flow);
    }
  }
  return due;
}

std::optional<std::int64_t> Keepalive::deadline() const {
  if (!next_ping_) return {};
  const auto next = std::min(*next_registration_, *next_ping_);
  return answer_until_ ? std::min({next, *answer_until_, look_}) : next;
}

}  // namespace gorgone::pull
