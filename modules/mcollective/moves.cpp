// Clients that go from one broker of a backbone to another: their session is where they have connected last, and nowhere else. What is PUT
// would be kept for them at two brokers otherwise, and be read twice. Which of two connections was the last is never asked of the clocks of
// two machines, see SessionClaim.

#include <algorithm>
#include <chrono>

#include "broker.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono;

constexpr microseconds longest = hours(366 * 24);

std::int64_t wall_us() { return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count(); }

}  // namespace

void Broker::came(Client& client) {
  last_claim_ = std::max(last_claim_ + 1, wall_us());
  client.claim = last_claim_;
  client.claimed_at = now_;
  client.claimed_alone = !parts_.backbone || !parts_.backbone->hears();
  // A name that we gave is nobody's at another broker.
  if (!parts_.backbone || !client.has_session || !client.peer.named_itself) return;
  parts_.backbone->tell_session({client.peer.routing_id, client.peer.key, claim_of(client)});
  parts_.session_changed(client.peer.routing_id);
}

SessionClaim Broker::claim_of(const Client& client) const {
  return {client.claim, duration_cast<microseconds>(now_ - client.claimed_at).count(), client.claimed_alone};
}

std::vector<SessionPlace> Broker::sessions_here(Time now) {
  now_ = now;
  std::vector<SessionPlace> places;
  for (const auto& client : clients_.all())
    if (client->has_session && client->connection != 0 && client->peer.named_itself)
      places.push_back({client->peer.routing_id, client->peer.key, claim_of(*client)});
  return places;
}

// The queues that it owns stay its own.
void Broker::session_elsewhere(const SessionPlace& place, Time now) {
  now_ = now;
  heard_claim(place.claim.number);
  auto* const session = clients_.session(place.routing_id);
  if (!session || session->peer.key != place.key) return;
  // Told late, or by a broker that does not know yet that it has left: it has come here since, and may be away for a moment.
  if (!is_newer(place.claim, claim_of(*session))) return;
  ++counters_.moved;
  log_.debug("client \"{}\" is connected to another broker", printable(place.routing_id));
  end_session(*session, "it is connected to another broker");
}

SessionRecord::Claim Broker::kept_claim(const Client& client) const {
  return {client.claim, wall_us() - claim_of(client).age_us, client.claimed_alone};
}

void Broker::restore_claim(Client& client, const SessionRecord::Claim& kept) {
  heard_claim(kept.number);
  const auto age = microseconds(wall_us() - kept.made_us);
  client.claim = kept.number;
  client.claimed_alone = kept.is_alone;
  // Our clock was set back meanwhile: others know better how old it is.
  client.claimed_at = now_ - (age < 0us ? longest : std::min<microseconds>(age, longest));
}

void Broker::heard_claim(std::int64_t number) {
  if (number < claim_number_max) last_claim_ = std::max(last_claim_, number);
}

}  // namespace gorgone::mcollective
