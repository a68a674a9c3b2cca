#pragma once
// At which broker the client of a session is, as brokers tell each other (docs/protocol.md): some of them in one message, each "<since: 8
// bytes> <routing id> <key>", numbers with the least significant byte first, a text with four bytes of length before it. An empty message
// asks all for theirs. Pure functions.

#include <gorgone/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::mcollective {

struct SessionPlace {
  std::string routing_id, key;
  std::int64_t since_us = 0;  ///< since 1970, by the clock of the broker where the client is
};

std::string write_places(const std::vector<SessionPlace>& places, std::size_t from, std::size_t until);
Result<std::vector<SessionPlace>> read_places(std::string_view bytes);

}  // namespace gorgone::mcollective
