// When each client is looked at, and what is due then: the end of its grant, of its silence, of a hold; a word to it.

#include <algorithm>

#include "broker.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

// What a client has sent just before its time was up, or while this process was held up, shall be looked at first.
constexpr auto doubt = 100ms;
constexpr auto queue_looked_at_every = 5ms, muted_looked_at_every = 50ms;

std::uint64_t mixed(std::uint64_t number) {
  number *= 0x9e3779b97f4a7c15U;
  number ^= number >> 32U;
  number *= 0xd6e8feb86659fd93U;
  return number ^ number >> 32U;
}

}  // namespace

void Broker::tick(Time now) {
  now_ = now;
  while (auto* const client = deadlines_.take(now)) look_at(*client);
}

void Broker::look_at(Client& client) {
  if (client.grant_ends != Time{} && now_ >= client.grant_ends) {
    auto grant = parts_.access.grant(client.peer.key, client.peer.routing_id);
    if (!grant) {
      log_.notice("client \"{}\" from {} may not be connected any more: {}", printable(client.peer.routing_id), client.peer.address,
                  grant.error().message);
      return end_session(client, grant.error().message);
    }
    if (grant->awaits_certificate && client.has_session) return end_session(client, "its certificate has ended");
    set_grant(client, std::move(*grant));
    end_forbidden(client);
  }
  if (now_ >= silent_until(client)) {
    if (!client.has_session) return end_session(client, "it has not said CONNECT for too long");
    if (client.doubted_until != Time{} || client.connection == 0) {
      ++counters_.expired;
      const auto silent = std::chrono::duration<double>(now_ - client.last_heard).count();
      log_.info("client \"{}\" from {} is dropped, it was silent for {:.1f} s: ttl_ms={} topics={}", printable(client.peer.routing_id),
                client.peer.address, silent, client.ttl.count(), client.subscriptions.size());
      return end_session(client, "it was silent for too long");
    }
    client.doubted_until = now_ + doubt;
  }
  if (client.hold_until != Time{} && now_ >= client.hold_until) release(client);
  if (client.is_renewing && client.connection != 0 && now_ >= client.renewed_until) end_stale(client);
  if (client.patient_until != Time{} || client.is_muted) delivery_.look_at_queue(client, now_);
  if (client.connection != 0 && client.has_session && client.ttl > 0ms && !client.is_held() && now_ >= speak_at(client))
    delivery_.heartbeat(client, now_);
  schedule(client);
}

// Another moment after each word: a client whose work takes as long each time would otherwise meet a NOOP at its next command each time.
Time Broker::speak_at(const Client& client) const {
  // In thousandths of the TTL.
  const std::uint64_t min = limits_.heartbeat_percent * 8, max = limits_.heartbeat_percent * 10;
  const auto drawn = mixed(static_cast<std::uint64_t>(client.last_sent.time_since_epoch().count()) + mixed(client.connection));
  return client.last_sent + client.ttl * static_cast<std::int64_t>(min + drawn % (max - min + 1)) / 1000;
}

Time Broker::silent_until(const Client& client) const {
  if (!client.has_session) return client.since + limits_.connect;
  // It may have spoken: it is not read.
  if (client.holds > 0) return now_ + patience_with(client.ttl);
  if (client.doubted_until != Time{}) return client.doubted_until;
  const auto until = client.last_heard + patience_with(client.ttl);
  // Nobody keeps a place for days by naming a long TTL.
  return client.connection == 0 ? std::min(until, client.gone_at + limits_.idle) : until;
}

milliseconds Broker::patience_with(milliseconds ttl) const { return ttl > 0ms ? ttl * limits_.silence_percent / 100 : limits_.idle; }

Time Broker::next_of(const Client& client) const {
  Time next = silent_until(client);
  if (client.grant_ends != Time{}) next = std::min(next, client.grant_ends);
  if (client.hold_until != Time{}) next = std::min(next, client.hold_until);
  if (client.is_renewing && client.connection != 0) next = std::min(next, client.renewed_until);
  if (client.patient_until != Time{}) next = std::min(next, now_ + queue_looked_at_every);
  if (client.is_muted) next = std::min(next, now_ + muted_looked_at_every);
  if (client.connection != 0 && client.has_session && client.ttl > 0ms) {
    auto speak = speak_at(client);
    if (client.hold_until != Time{}) speak = std::max(speak, client.hold_until);
    if (client.awaits_answer()) speak = std::max(speak, now_ + client.ttl / 8);
    next = std::min(next, speak);
  }
  return next;
}

void Broker::schedule(Client& client) {
  const auto before = deadlines_.next();
  deadlines_.look_at(client, next_of(client));
  const auto after = deadlines_.next();
  if (after && (!before || *after < *before)) parts_.sooner();
}

}  // namespace gorgone::mcollective
