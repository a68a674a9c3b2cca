#include "session_place.hpp"

#include "fields.hpp"

namespace gorgone::mcollective {

std::string write_places(const std::vector<SessionPlace>& places, std::size_t from, std::size_t until) {
  std::string out;
  for (auto i = from; i < until; ++i) {
    put_number(out, static_cast<std::uint64_t>(places[i].since_us), 8);
    put_text(out, places[i].routing_id);
    put_text(out, places[i].key);
  }
  return out;
}

Result<std::vector<SessionPlace>> read_places(std::string_view bytes) {
  std::vector<SessionPlace> places;
  while (!bytes.empty()) {
    const auto since = take_number(bytes, 8);
    const auto routing_id = take_text(bytes), key = take_text(bytes);
    if (!since || !routing_id || !key) return Error{"sessions of another broker end too early"};
    places.push_back({std::string(*routing_id), std::string(*key), static_cast<std::int64_t>(*since)});
  }
  return places;
}

}  // namespace gorgone::mcollective
