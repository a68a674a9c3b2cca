#pragma once
// What the module tells of itself: the rows of its actions. On the loop.

#include <gorgone/json.hpp>

#include <functional>
#include <string_view>
#include <vector>

#include "service.hpp"

namespace gorgone::mcollective {

json::object status_of(const Service& service);

/// Lists are told in portions, for a broker has thousands of clients. Only what holds `match` in its name.
inline constexpr std::size_t portion_max = 1000;
using TellPortion = std::function<void(json::array)>;
/// Cut so that none has more than portion_max rows, of an object the rows of all its lists together; there is always one.
std::vector<json::array> in_parts(json::array rows);
std::vector<json::object> in_parts(json::object lists);
/// identity, routing_id, key, key_name, version, address, connected, age_s, last_heard_s, topics, queue, …
void tell_clients(const Service& service, std::string_view match, const TellPortion& tell);
/// topic, subscribers, persistent
void tell_topics(const Service& service, std::string_view match, const TellPortion& tell);

}  // namespace gorgone::mcollective
