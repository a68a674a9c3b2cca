#pragma once
// A message outside this process: as a record of the journal and as the payload of a NATS message. Pure functions.
//
//   "MQ" version=1  time  id  count { frame }
//
// `time` is 8 bytes, little-endian; an id and a frame are 4 bytes of length, little-endian, and so many bytes; `count` 4 bytes.

#include <gorgone/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include "transport.hpp"

namespace gorgone::mcollective {

struct Envelope {
  std::int64_t time_s = 0;  ///< since 1970: when the message was PUT
  std::string id;           ///< the same for each repetition of it; may be empty
  SharedFrames frames;
};

std::string seal(const Envelope& envelope);
std::size_t sealed_bytes(const Envelope& envelope);
/// An Error says what is wrong with the bytes.
Result<Envelope> unseal(std::string_view bytes);

}  // namespace gorgone::mcollective
