#pragma once
// At which broker the client of a session is, and which key an identity belongs to, as brokers tell each other (docs/protocol.md): some of
// them in one message, each "<number: 8 bytes> <age: 8 bytes> <alone: 1 byte> <routing id> <key>", numbers with the least significant byte
// first, a text with four bytes of length before it. An empty message asks all for theirs. Pure functions.

#include <gorgone/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "identity_key.hpp"

namespace gorgone::mcollective {

/// What a broker says of a client that has come to it.
struct SessionClaim {
  /// Higher than that of every claim which the broker had heard of by then, and no lower than its clock, in microseconds since 1970.
  std::int64_t number = 0;
  std::int64_t age_us = 0;  ///< how long ago that was, when it is told
  bool is_alone = false;    ///< the broker could not hear the others then, so the number is no more than its clock's
};

/// Nobody's clock will be there; what a broker makes up must not end the numbers of the others.
inline constexpr std::int64_t claim_number_max = std::int64_t{1} << 62;

/// Numbers count, whatever the clocks say: the broker to which a client goes has heard of the one that it comes from. Where one of them
/// could not hear, or a number is not to be believed, the ages do: no clock is compared with another machine's.
bool is_newer(const SessionClaim& theirs, const SessionClaim& ours);

struct SessionPlace {
  std::string routing_id, key;
  SessionClaim claim;
};

/// Identities and their pins, each "<identity> <pin>", texts as above. Messages of `bytes_max` at most; what is larger by itself is left
/// out.
std::vector<std::string> write_pins(const Pins& pins, std::size_t bytes_max);
Result<Pins> read_pins(std::string_view bytes);

std::vector<std::string> write_places(const std::vector<SessionPlace>& places, std::size_t bytes_max);
Result<std::vector<SessionPlace>> read_places(std::string_view bytes);

}  // namespace gorgone::mcollective
