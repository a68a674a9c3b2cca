// Clients that go from one broker of a backbone to another: their session is where they have connected last, and nowhere else. What is PUT
// would be kept for them at two brokers otherwise, and be read twice.

#include <chrono>

#include "broker.hpp"

namespace gorgone::mcollective {

void Broker::came(Client& client) {
  using namespace std::chrono;
  client.here_since_us = duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  // A name that we gave is nobody's at another broker.
  if (parts_.backbone && client.has_session && client.peer.named_itself)
    parts_.backbone->tell_session({client.peer.routing_id, client.peer.key, client.here_since_us});
}

std::vector<SessionPlace> Broker::sessions_here() const {
  std::vector<SessionPlace> places;
  for (const auto& client : clients_.all())
    if (client->has_session && client->connection != 0 && client->peer.named_itself)
      places.push_back({client->peer.routing_id, client->peer.key, client->here_since_us});
  return places;
}

// The queues that it owns stay its own.
void Broker::session_elsewhere(const SessionPlace& place, Time now) {
  now_ = now;
  auto* const session = clients_.session(place.routing_id);
  if (!session || session->peer.key != place.key) return;
  // Told late: it has come back since.
  if (session->connection != 0 && session->here_since_us >= place.since_us) return;
  ++counters_.moved;
  log_.debug("client \"{}\" is connected to another broker", printable(place.routing_id));
  end_session(*session, "it is connected to another broker");
}

}  // namespace gorgone::mcollective
