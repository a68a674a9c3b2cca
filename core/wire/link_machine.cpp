#include "core/wire/link_machine.hpp"

#include <gorgone/link.hpp>
#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

namespace gorgone::wire {
namespace {

constexpr std::int64_t quick_loss_ms = 1000;
constexpr int quick_losses_max = 20;

// Between half of `ms` and `ms`: nodes that were lost together do not come back together.
std::int64_t with_jitter(std::int64_t ms) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return ms / 2 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(ms / 2 + 1));
}

Result<SessionCipher> cipher_of(const KeyText& key) {
  SessionKey session{key.key, key.iv, key.padding};
  if (const auto problem = session.problem()) return *problem;
  return SessionCipher(std::move(session));
}

}  // namespace

void LinkMachine::await(State state, std::int64_t now) {
  state_ = state;
  deadline_ = now + config_.greet_ms;
}

void LinkMachine::await_peer(State state, std::int64_t now) {
  ++attempt_;
  await(state, now);
  patient_until_ = now + config_.patience_ms;
}

LinkMachine::Steps LinkMachine::start(std::int64_t now) { return greet(now); }

LinkMachine::Steps LinkMachine::stop() {
  state_ = State::closed;
  deadline_.reset();
  cipher_.reset();
  Steps steps;
  steps.push_back(Close{});
  return steps;
}

LinkMachine::Steps LinkMachine::greet(std::int64_t now) {
  cipher_.reset();
  has_lost_session_ = false;
  ++attempt_;
  await(State::connecting, now);
  Steps steps;
  steps.push_back(Connect{});
  return steps;
}

// Over the same connection.
LinkMachine::Steps LinkMachine::greet_again(std::int64_t now) {
  cipher_.reset();
  has_lost_session_ = true;
  await_peer(State::awaiting_peer, now);
  Steps steps;
  steps.push_back(TakeTurn{});
  return steps;
}

LinkMachine::Steps LinkMachine::on_connected(Result<void> outcome, std::int64_t now) {
  if (state_ != State::connecting) return {};
  if (!outcome) return fail(outcome.error(), now);
  await_peer(State::awaiting_peer, now);
  return {};
}

LinkMachine::Steps LinkMachine::on_peer(bool is_there, std::int64_t now) {
  Steps steps;
  switch (state_) {
    case State::awaiting_peer:
      if (is_there) return begin_greeting(now);
      has_lost_session_ = false;
      return steps;
    case State::away:
      if (!is_there) return steps;
      state_ = State::up;
      up_since_ = now;
      deadline_.reset();
      steps.push_back(Up{hostname_});
      return steps;
    case State::up:
      if (is_there) return steps;
      await_peer(State::away, now);
      steps.push_back(Down{Error{"the connection was lost", down::lost}, true});
      return steps;
    case State::closed:
    case State::connecting:
    case State::pausing:
      return steps;
    default:
      if (!is_there) await_peer(State::awaiting_peer, now);
      return steps;
  }
}

// After a lost session the question for the key also is a mark in the stream: whatever comes before its answer belongs to the
// old session. So it is skipped only where the key is known and the connection is new.
LinkMachine::Steps LinkMachine::begin_greeting(std::int64_t now) {
  Steps steps;
  if (!std::exchange(has_lost_session_, false) && config_.server_key) {
    server_key_ = config_.server_key;
    await(State::sending_helo, now);
    steps.push_back(MakeHelo{*server_key_});
  } else {
    await(State::asking_key, now);
    steps.push_back(Send{std::string(get_pubkey)});
  }
  return steps;
}

LinkMachine::Steps LinkMachine::fail(Error why, std::int64_t now) {
  const bool was_up = state_ == State::up;
  const bool is_refused = why.code == down::handshake || why.code == down::key_changed;
  pause_ms_ = std::clamp(pause_ms_ * 2, config_.retry_ms_min, is_refused ? config_.refused_ms_max : config_.retry_ms_max);
  state_ = State::pausing;
  deadline_ = now + with_jitter(pause_ms_);
  cipher_.reset();
  Steps steps;
  steps.push_back(Close{});
  steps.push_back(Down{std::move(why), was_up});
  return steps;
}

LinkMachine::Steps LinkMachine::reset(const std::string& why, std::int64_t now) {
  if (state_ != State::up) return {};  // it is being made anew already
  auto steps = greet(now);
  steps.insert(steps.begin(), Down{Error{why, down::mute}, true});
  return steps;
}

LinkMachine::Steps LinkMachine::on_frame(std::string_view frame, std::int64_t now) {
  switch (state_) {
    case State::asking_key: {
      const auto pem = parse_pubkey(frame);
      if (!pem) return {};  // a late answer of the session before
      if (frame.size() > greeting_size_max)
        return fail(
            Error{fmt::format("the server's public key came in a frame of {} bytes, expected at most {}", frame.size(), greeting_size_max)},
            now);
      auto key = RsaPublicKey::from_pem(*pem);
      if (!key) return fail(Error{"the server's public key does not load: " + key.error().message}, now);
      if (config_.server_key && !(*config_.server_key == *key))
        return fail(Error{"the server's key is " + key->thumbprint() + ", but server_pubkey is " + config_.server_key->thumbprint(),
                          down::key_changed},
                    now);
      server_key_ = *key;
      await(State::checking_key, now);
      Steps steps;
      steps.push_back(CheckKey{std::move(*key)});
      return steps;
    }
    case State::awaiting_key: {
      if (is_handshake_issue(frame))
        return fail(Error{"the server refused the handshake: our key is not in its authorized_clients, or it has another key than we know",
                          down::handshake},
                    now);
      if (frame.starts_with("[")) return {};
      await(State::opening_key, now);
      Steps steps;
      steps.push_back(OpenKey{std::string(frame)});
      return steps;
    }
    case State::up:
      return on_session_frame(frame, now);
    default:
      return {};
  }
}

LinkMachine::Steps LinkMachine::on_session_frame(std::string_view frame, std::int64_t now) {
  Steps steps;
  auto text = cipher_->open(frame);
  if (!text || !looks_like_message(*text)) {
    if (parse_pubkey(frame)) return {};
    const auto* why =
        is_handshake_issue(frame) ? "the server has lost the session" : "the server sent what the session's key does not open";
    // A peer that loses every session at once is not greeted without end.
    quick_losses_ = now - up_since_ < quick_loss_ms ? quick_losses_ + 1 : 0;
    if (quick_losses_ >= quick_losses_max) {
      quick_losses_ = 0;
      return fail(Error{why, down::lost}, now);
    }
    steps = greet_again(now);
    steps.insert(steps.begin(), Down{Error{why, down::lost}, true});
    return steps;
  }
  if (text->starts_with("[KEY]")) {
    auto key = parse_key(*text);
    auto cipher = key ? cipher_of(*key) : Result<SessionCipher>(key.error());
    if (!cipher) return fail(cipher.error(), now);
    cipher_.emplace(std::move(*cipher));
    return {};
  }
  steps.push_back(Received{std::move(*text)});
  return steps;
}

LinkMachine::Steps LinkMachine::on_key_checked(Result<void> outcome, std::int64_t now) {
  if (state_ != State::checking_key) return {};
  if (!outcome) return fail(outcome.error(), now);
  await(State::sending_helo, now);
  Steps steps;
  steps.push_back(MakeHelo{*server_key_});
  return steps;
}

LinkMachine::Steps LinkMachine::on_helo_made(Result<std::string> frame, std::int64_t now) {
  if (state_ != State::sending_helo) return {};
  if (!frame) return fail(frame.error(), now);
  await(State::awaiting_key, now);
  Steps steps;
  steps.push_back(Send{std::move(*frame)});
  return steps;
}

LinkMachine::Steps LinkMachine::on_key_opened(Result<std::string> text, std::int64_t now) {
  if (state_ != State::opening_key) return {};
  if (!text) return fail(Error{"the server's answer to HELO was not encrypted with our public key", down::handshake}, now);
  auto key = parse_key(*text);
  if (!key) return fail(key.error(), now);
  auto cipher = cipher_of(*key);
  if (!cipher) return fail(cipher.error(), now);
  cipher_.emplace(std::move(*cipher));
  state_ = State::up;
  deadline_.reset();
  pause_ms_ = 0;
  up_since_ = now;
  hostname_ = key->hostname;
  Steps steps;
  steps.push_back(Up{hostname_});
  return steps;
}

LinkMachine::Steps LinkMachine::on_clock(std::int64_t now) {
  if (!deadline_ || now < *deadline_) return {};
  if (state_ == State::pausing) return greet(now);
  if (state_ == State::awaiting_peer || state_ == State::away) {
    if (now >= patient_until_) return greet(now);
    deadline_ = std::min(patient_until_, now + config_.tell_ms);
    Steps steps;
    steps.push_back(NoPeer{});
    return steps;
  }
  if (state_ == State::connecting)
    return fail(Error{fmt::format("its address was not found within {} s", config_.greet_ms / 1000), down::name}, now);
  if (state_ == State::asking_key || (state_ == State::awaiting_key && config_.server_key))
    return fail(Error{fmt::format("no answer to the greeting within {} s", config_.greet_ms / 1000), down::mute}, now);
  return fail(Error{fmt::format("the handshake was not finished within {} s", config_.greet_ms / 1000), down::mute}, now);
}

std::optional<std::string> LinkMachine::seal(std::string text, Form form) const {
  if (state_ != State::up) return {};
  return cipher_->seal(std::move(text), form);
}

}  // namespace gorgone::wire
