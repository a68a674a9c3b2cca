#include "queue_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "envelope.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

// We are told of each new message, and look soon where the server that answers may not have it yet. Where nobody has told us the telling
// may have been lost, as with a server that ended: that is most likely while messages come.
constexpr std::chrono::milliseconds look_told_after = 20ms, look_untold_after = 1s, look_seldom = 30s, told_lately = 3s;
constexpr auto again_after = 1000ms;
constexpr std::size_t usual_at_first = std::size_t{64} << 10;

std::string random_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

}  // namespace

QueueReader::QueueReader(Agent& agent, NatsConnection& connection, const StreamNames& names, KeptQueues::Events& events)
    : agent_(agent),
      connection_(connection),
      names_(names),
      events_(events),
      streams_(connection),
      claims_(connection, names),
      instance_(random_name()) {}

QueueReader::Topic* QueueReader::find(const std::string& topic, const std::string& claim) {
  const auto found = topics_.find(topic);
  return found == topics_.end() || found->second.claim.number != claim ? nullptr : &found->second;
}

std::size_t QueueReader::undeleted() const {
  std::size_t count = 0;
  for (const auto& [stream, sequences] : taken_) count += sequences.size();
  return count;
}

std::uint64_t QueueReader::taken_of(const std::string& stream) const {
  const auto found = counts_.find(stream);
  return found == counts_.end() ? 0 : found->second;
}

void QueueReader::set_ready(bool is_ready) {
  is_ready_ = is_ready;
  if (!is_ready) {
    for (auto& [name, stream] : known_) stream.is_known = false;
    return;
  }
  for (const auto& [topic, claim] : std::exchange(released_, {})) release(topic, claim);
  std::vector<std::string> all;
  for (auto& [topic, state] : topics_) {
    state.must_check = true;  // somebody may have come to another broker meanwhile
    state.pause = {};
    all.push_back(topic);
  }
  for (const auto& topic : all) go_on(topic);
  look_for_free();
}

std::uint64_t QueueReader::read_until(const std::string& stream) const {
  const auto found = known_.find(stream);
  return found == known_.end() ? 0 : found->second.read_until;
}

void QueueReader::stream_is(const std::string& stream, const JetStream::Use& use, std::uint64_t read_until) {
  auto& known = known_[stream];
  // When it was made says nothing: each replica of a cluster has a time of its own for that.
  const bool is_other = use.newest < read_until;
  if (is_other) begin_anew(stream);
  if (!is_ready_ || (std::exchange(known.is_known, true) && !is_other)) return;
  if (const auto left = taken_.extract(stream))
    for (const auto sequence : left.mapped()) remove(stream, sequence);
  std::vector<std::string> all;
  for (const auto& [topic, state] : topics_)
    if (names_.stream(topic) == stream) all.push_back(topic);
  for (const auto& topic : all) go_on(topic);
}

void QueueReader::begin_anew(const std::string& stream) {
  agent_.log().warning("stream {} was made anew or set back since it was read last: what it holds is read from its beginning", stream);
  known_[stream].read_until = 0;
  taken_.erase(stream);
  std::set<std::string> identities;
  for (auto& [topic, state] : topics_) {
    if (names_.stream(topic) != stream) continue;
    identities.insert(state.identity);
    for (const auto& [number, offered] : std::exchange(state.unconfirmed, {})) give_back(state, offered.bytes);
    state.next = 1;
    state.told = 0;
    ++state.beginnings;
  }
  for (const auto& identity : identities) let_others_go_on(identity);
}

void QueueReader::renew() {
  if (!is_ready_) return;
  for (auto& [topic, state] : topics_)
    if (state.is_claimed) claims_.check(topic, state.claim, true, [](QueueClaims::Answer, const std::string&) {});
  look_for_free();
}

void QueueReader::look_for_free() {
  for (const auto& topic : watched_) look_whether_free(topic);
}

void QueueReader::look_whether_free(const std::string& topic) {
  if (!is_ready_ || !watched_.contains(topic)) return;
  claims_.is_free(topic, [this, topic, alive = std::weak_ptr<bool>(alive_)](bool is_free) {
    if (is_free && !alive.expired() && watched_.contains(topic) && events_.is_free) events_.is_free(topic);
  });
}

void QueueReader::owner_changed(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return look_whether_free(topic);
  found->second.must_check = true;
  go_on(topic);
}

bool QueueReader::attach(const std::string& topic, const std::string& identity, const IdentityKey& key) {
  if (const auto known = topics_.find(topic); known != topics_.end() && known->second.identity != identity) return false;
  if (const auto former = released_.find(topic); former != released_.end() && former->second.identity == identity) released_.erase(former);
  forget(topic);
  watched_.erase(topic);
  auto& state = topics_[topic];
  state.identity = identity;
  state.usual = usual_at_first;
  state.claim = {fmt::format("{}-{}", instance_, ++claims_made_), identity, key};
  connection_.subscribe(names_.news(topic), [this, topic](const NatsMessage& message) {
    if (message.data == "m") return news(topic);
    owner_changed(topic);
  });
  go_on(topic);
  return true;
}

void QueueReader::give_up(const std::string& topic) {
  watched_.insert(topic);
  forget(topic);
}

void QueueReader::nobody_here(const std::string& topic) {
  if (watched_.erase(topic) > 0) connection_.unsubscribe(names_.news(topic));
}

void QueueReader::forget(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  const auto identity = found->second.identity;
  budget_.forget(identity, topic);
  budget_.remove(identity, found->second.bytes);
  topics_.erase(found);
  let_others_go_on(identity);
}

void QueueReader::take_bytes(Topic& state, std::size_t bytes) {
  state.bytes += bytes;
  budget_.add(state.identity, bytes);
}

void QueueReader::give_back(Topic& state, std::size_t bytes) {
  state.bytes -= bytes;
  budget_.remove(state.identity, bytes);
}

void QueueReader::let_others_go_on(const std::string& identity) {
  budget_.offer(identity, [this](const std::string& topic) { return go_on(topic); });
}

void QueueReader::detach(const std::string& topic, const std::string& identity) {
  const auto found = topics_.find(topic);
  if (found != topics_.end() && found->second.identity == identity) give_up(topic);
}

void QueueReader::disown(const std::string& topic, const std::string& identity) {
  const auto found = topics_.find(topic);
  if (found == topics_.end() || found->second.identity != identity) return;
  const auto claim = found->second.claim;
  give_up(topic);
  release(topic, claim);
}

void QueueReader::release(const std::string& topic, const QueueClaims::Claim& claim) {
  releasing_.insert(topic);
  claims_.release(topic, claim, [this, topic, claim, alive = std::weak_ptr<bool>(alive_)](const Result<void>& result) {
    if (alive.expired()) return;
    releasing_.erase(releasing_.find(topic));
    const auto next = topics_.find(topic);
    const bool is_wanted_again = next != topics_.end() && next->second.identity == claim.identity;
    if (!result && !is_wanted_again) return release_again(topic, claim);
    if (next != topics_.end()) {
      go_on(topic);
      return;
    }
    NatsOutgoing told{names_.news(topic), {}, "o"};
    connection_.send(std::move(told));
  });
}

void QueueReader::release_again(const std::string& topic, const QueueClaims::Claim& claim) {
  released_[topic] = claim;
  auto timer = std::make_shared<asio::steady_timer>(agent_.loop(), again_after);
  timer->async_wait([this, topic, timer, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code&) {
    if (alive.expired() || !is_ready_) return;  // again when it is
    if (const auto left = released_.extract(topic)) release(topic, left.mapped());
  });
}

void QueueReader::taken(const std::string& topic, std::uint64_t number) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  auto& state = found->second;
  const auto message = state.unconfirmed.find(number);
  if (message == state.unconfirmed.end()) return;
  const auto [sequence, bytes] = message->second;
  give_back(state, bytes);
  state.unconfirmed.erase(message);
  ++state.taken;
  ++counts_[names_.stream(topic)];
  const auto identity = state.identity;
  remove(names_.stream(topic), sequence);
  go_on(topic);
  let_others_go_on(identity);
}

void QueueReader::remove(const std::string& stream, std::uint64_t sequence) {
  taken_[stream].insert(sequence);
  if (!known_[stream].is_known) return;  // when it is
  streams_.remove(stream, sequence, [this, stream, sequence, alive = std::weak_ptr<bool>(alive_)](const Result<void>& result) {
    if (alive.expired()) return;
    if (result) {
      const auto found = taken_.find(stream);
      if (found == taken_.end()) return;
      found->second.erase(sequence);
      if (found->second.empty()) taken_.erase(found);
      return;
    }
    if (!is_ready_) return;  // again when it is
    auto timer = std::make_shared<asio::steady_timer>(agent_.loop(), again_after);
    timer->async_wait([this, stream, sequence, timer, alive](const boost::system::error_code&) {
      if (alive.expired() || !is_ready_) return;
      const auto left = taken_.find(stream);
      if (left != taken_.end() && left->second.contains(sequence)) remove(stream, sequence);
    });
  });
}

void QueueReader::news(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  ++found->second.told;
  found->second.pause = {};
  go_on(topic);
}

bool QueueReader::go_on(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found == topics_.end() || !is_ready_ || found->second.is_asking || releasing_.contains(topic) || released_.contains(topic))
    return false;
  auto& state = found->second;
  if (!state.is_claimed || state.must_check) {
    claim(topic, state);
    return false;
  }
  if (!known_[names_.stream(topic)].is_known || state.unconfirmed.size() >= KeptQueues::unconfirmed_max) return false;
  if (state.bytes > 0 && state.bytes + state.usual > OfferBudget::of_queue_max) return false;
  if (budget_.room(state.identity, topic, state.usual) == 0) return true;
  read(topic, state);
  return false;
}

void QueueReader::claim(const std::string& topic, Topic& state) {
  state.is_asking = true;
  state.again.reset();
  auto answered = [this, topic, claim = state.claim.number, alive = std::weak_ptr<bool>(alive_)](QueueClaims::Answer answer,
                                                                                                 const std::string& owner) {
    if (alive.expired()) return;
    auto* const waiting = find(topic, claim);
    if (!waiting) return;
    waiting->is_asking = false;
    claimed(topic, *waiting, answer, owner);
  };
  const bool is_known = std::exchange(state.must_check, false) && state.is_claimed;
  if (is_known)
    claims_.check(topic, state.claim, false, std::move(answered));
  else
    claims_.claim(topic, state.claim, std::move(answered));
}

void QueueReader::claimed(const std::string& topic, Topic& state, QueueClaims::Answer answer, const std::string& owner) {
  switch (answer) {
    case QueueClaims::Answer::ours: {
      if (!std::exchange(state.is_claimed, true)) {
        NatsOutgoing told{names_.news(topic), {}, "o"};
        connection_.send(std::move(told));
      }
      go_on(topic);
      return;
    }
    case QueueClaims::Answer::unknown:
      state.must_check = state.is_claimed;
      return look_again(topic, state, again_after);
    case QueueClaims::Answer::moved:
    case QueueClaims::Answer::not_ours:
    case QueueClaims::Answer::other_key: {
      const auto identity = state.identity;
      give_up(topic);
      if (events_.not_owner) events_.not_owner(topic, identity, answer == QueueClaims::Answer::other_key ? std::string() : owner);
    }
  }
}

void QueueReader::read(const std::string& topic, Topic& state) {
  state.is_asking = true;
  state.again.reset();
  take_bytes(state, state.usual);
  auto read = [this, topic, claim = state.claim.number, held = state.usual, beginnings = state.beginnings,
               alive = std::weak_ptr<bool>(alive_)](Result<std::optional<JetStream::Record>> record) {
    if (alive.expired()) return;
    auto* const waiting = find(topic, claim);
    if (!waiting) return;
    waiting->is_asking = false;
    give_back(*waiting, held);
    const auto identity = waiting->identity;
    if (waiting->beginnings == beginnings)
      found(topic, *waiting, std::move(record));
    else
      go_on(topic);
    let_others_go_on(identity);
  };
  streams_.next(names_.stream(topic), names_.subject(topic), state.next, std::move(read));
}

void QueueReader::found(const std::string& topic, Topic& state, Result<std::optional<JetStream::Record>> record) {
  if (!record) return look_again(topic, state, again_after);
  if (!*record) {
    // One that was seen already had been told of late.
    if (state.pause > told_lately) state.told = 0;
    const auto first = state.told > 0 ? look_told_after : look_untold_after;
    state.pause = std::clamp(2 * state.pause, first, look_seldom);
    return look_again(topic, state, state.pause);
  }
  state.pause = {};
  const auto sequence = (*record)->sequence;
  state.next = sequence + 1;
  if (state.told > 0) --state.told;
  const auto stream = names_.stream(topic);
  auto& read_until = known_[stream].read_until;
  read_until = std::max(read_until, sequence);
  const auto deleting = taken_.find(stream);
  if (deleting != taken_.end() && deleting->second.contains(sequence)) {
    go_on(topic);
    return;
  }
  const auto bytes = (*record)->data.size();
  auto envelope = unseal((*record)->data);
  if (!envelope) {
    agent_.log().error("message {} of stream {} is none of ours and is deleted: {}", sequence, stream, envelope.error().message);
    remove(stream, sequence);
    go_on(topic);
    return;
  }
  state.usual = bytes;
  // Numbers of our own: a late word about a message of a stream that is no more must not be taken for one about another of the same
  // sequence.
  const auto number = ++offers_made_;
  state.unconfirmed.emplace(number, Offered{sequence, bytes});
  take_bytes(state, bytes);
  const KeptMessage message{number, std::move(envelope->frames)};
  events_.offer(topic, message);
  go_on(topic);
}

void QueueReader::look_again(const std::string& topic, Topic& state, std::chrono::milliseconds after) {
  state.again = std::make_unique<asio::steady_timer>(agent_.loop(), after);
  auto look = [this, topic, claim = state.claim.number, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired() && find(topic, claim)) go_on(topic);
  };
  state.again->async_wait(std::move(look));
}

}  // namespace gorgone::mcollective
