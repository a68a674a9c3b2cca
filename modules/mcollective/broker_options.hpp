#pragma once
// What the broker's own options are: addresses, keys, heartbeats and limits. Those of access, queues and backbone are said by their parts.

#include <gorgone/config.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gorgone::mcollective {

using std::chrono::milliseconds;

struct BrokerLimits {
  std::size_t clients = 10000;
  std::size_t topics = 1000;  ///< of one client
  std::size_t topic_bytes = 255;
  std::size_t body_bytes = 67108864;
  std::size_t queue_messages = 10000, queue_bytes = 67108864;
  milliseconds idle{}, connect{};
  std::uint32_t heartbeat_percent = 50, silence_percent = 105;  ///< of a TTL
  milliseconds grace{200}, patience{100};
};

/// Connections that await a certificate.
/// Sessions of one identity: whoever has one key must not take the places of all others.
inline std::size_t of_identity_max(const BrokerLimits& limits) { return std::max<std::size_t>(limits.clients / 4, 16); }
inline std::size_t strangers_max(const BrokerLimits& limits) { return std::max<std::size_t>(limits.clients / 4, 16); }

struct BrokerOptions {
  std::vector<std::string> bind;
  bool curve = true;
  std::string private_key, public_key;
  std::size_t handshakes = 0;
  milliseconds handshake{};
  BrokerLimits limits;
};

Schema broker_schema();
std::vector<Problem> check_broker(const Settings& settings);
BrokerOptions read_broker(const Settings& settings);

}  // namespace gorgone::mcollective
