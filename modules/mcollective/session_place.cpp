#include "session_place.hpp"

#include <optional>

namespace gorgone::mcollective {
namespace {

void put_number(std::string& out, std::uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size(), 4);
  out += text;
}

std::optional<std::uint64_t> take_number(std::string_view& rest, std::size_t bytes) {
  if (rest.size() < bytes) return {};
  std::uint64_t number = 0;
  for (std::size_t i = bytes; i-- > 0;) number = number << 8 | static_cast<unsigned char>(rest[i]);
  rest.remove_prefix(bytes);
  return number;
}

std::optional<std::string> take_text(std::string_view& rest) {
  const auto size = take_number(rest, 4);
  if (!size || rest.size() < *size) return {};
  std::string text(rest.substr(0, *size));
  rest.remove_prefix(*size);
  return text;
}

}  // namespace

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
    auto routing_id = take_text(bytes), key = take_text(bytes);
    if (!since || !routing_id || !key) return Error{"sessions of another broker end too early"};
    places.push_back({std::move(*routing_id), std::move(*key), static_cast<std::int64_t>(*since)});
  }
  return places;
}

}  // namespace gorgone::mcollective
