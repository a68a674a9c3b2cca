#pragma once
// A session as it lies in the journal: a byte 4, then texts and numbers, each text with four bytes of length before it, the least
// significant first: key, version, TTL (8 bytes, ms), since when the client is away (8 bytes, seconds since 1970; 0: it is connected), the
// number of its claim (8 bytes), when that was made (8 bytes, microseconds since 1970), whether alone (1 byte), topics to the end. With
// many topics it lies in several records, see session_store.hpp. With a byte 3 in place of the 4 it was always in one.

#include <gorgone/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::mcollective {

struct SessionRecord {
  std::string key, version;
  std::int64_t ttl_ms = 0;
  std::int64_t away_s = 0;  ///< since 1970; 0: it is connected
  struct Claim {
    std::int64_t number = 0;
    std::int64_t made_us = 0;  ///< since 1970
    bool is_alone = false;
  };
  Claim claim;                           ///< see SessionClaim
  std::vector<std::string_view> topics;  ///< of the text that was read, or of who writes
};

std::string write_session(const SessionRecord& session);
/// The topics point into `text`.
Result<SessionRecord> read_session(std::string_view text);

inline constexpr std::size_t topics_of_part = 16;
/// What write_session() wrote, cut: all of it where there are few topics, or else what stands before them, then so many at a time.
std::vector<std::string_view> parts_of(std::string_view session);

}  // namespace gorgone::mcollective
