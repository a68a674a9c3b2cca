#include "session_place.hpp"

#include <algorithm>

#include "fields.hpp"

namespace gorgone::mcollective {
namespace {

template <class Items, class Write>
std::vector<std::string> in_messages(const Items& items, std::size_t bytes_max, Write write) {
  std::vector<std::string> messages;
  for (const auto& item : items) {
    std::string one;
    write(one, item);
    if (one.size() > bytes_max) continue;
    if (messages.empty() || messages.back().size() + one.size() > bytes_max) messages.emplace_back();
    messages.back() += one;
  }
  return messages;
}

}  // namespace

bool is_newer(const SessionClaim& theirs, const SessionClaim& ours) {
  const bool are_believed = std::max(theirs.number, ours.number) < claim_number_max;
  if (theirs.is_alone || ours.is_alone || !are_believed) return theirs.age_us < ours.age_us;
  return theirs.number > ours.number;
}

std::vector<std::string> write_places(const std::vector<SessionPlace>& places, std::size_t bytes_max) {
  return in_messages(places, bytes_max, [](std::string& out, const SessionPlace& place) {
    put_number(out, static_cast<std::uint64_t>(place.claim.number), 8);
    put_number(out, static_cast<std::uint64_t>(place.claim.age_us), 8);
    put_number(out, place.claim.is_alone ? 1 : 0, 1);
    put_text(out, place.routing_id);
    put_text(out, place.key);
  });
}

std::vector<std::string> write_pins(const Pins& pins, std::size_t bytes_max) {
  return in_messages(pins, bytes_max, [](std::string& out, const Pins::value_type& pin) {
    put_text(out, pin.first);
    put_text(out, pin.second);
  });
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
