#include "session_place.hpp"

#include <algorithm>

#include "fields.hpp"

namespace gorgone::mcollective {

bool is_newer(const SessionClaim& theirs, const SessionClaim& ours) {
  const bool are_believed = std::max(theirs.number, ours.number) < claim_number_max;
  if (theirs.is_alone || ours.is_alone || !are_believed) return theirs.age_us < ours.age_us;
  return theirs.number > ours.number;
}

std::string write_places(const std::vector<SessionPlace>& places, std::size_t from, std::size_t until) {
  std::string out;
  for (auto i = from; i < until; ++i) {
    put_number(out, static_cast<std::uint64_t>(places[i].claim.number), 8);
    put_number(out, static_cast<std::uint64_t>(places[i].claim.age_us), 8);
    put_number(out, places[i].claim.is_alone ? 1 : 0, 1);
    put_text(out, places[i].routing_id);
    put_text(out, places[i].key);
  }
  return out;
}

std::string write_pins(const Pins& pins, std::size_t from, std::size_t until) {
  std::string out;
  for (auto i = from; i < until; ++i) {
    put_text(out, pins[i].first);
    put_text(out, pins[i].second);
  }
  return out;
}

Result<Pins> read_pins(std::string_view bytes) {
  Pins pins;
  while (!bytes.empty()) {
    const auto identity = take_text(bytes), pin = take_text(bytes);
    if (!identity || !pin) return Error{"pins of another broker end too early"};
    pins.emplace_back(*identity, *pin);
  }
  return pins;
}

Result<std::vector<SessionPlace>> read_places(std::string_view bytes) {
  std::vector<SessionPlace> places;
  while (!bytes.empty()) {
    const auto number = take_number(bytes, 8), age = take_number(bytes, 8), alone = take_number(bytes, 1);
    const auto routing_id = take_text(bytes), key = take_text(bytes);
    if (!number || !age || !alone || !routing_id || !key) return Error{"sessions of another broker end too early"};
    const SessionClaim claim{static_cast<std::int64_t>(*number), static_cast<std::int64_t>(*age), *alone != 0};
    places.push_back({std::string(*routing_id), std::string(*key), claim});
  }
  return places;
}

}  // namespace gorgone::mcollective
