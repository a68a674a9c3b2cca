#pragma once
// From method and target of an HTTP request to what is to be done (the API below /api). Pure: no I/O, no state.

#include "answer.hpp"

#include <gorgone/agent.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gorgone::httpserver {

/// The longest time a request may ask to wait for.
inline constexpr std::chrono::microseconds longest_wait = std::chrono::hours(1);

/// The registered actions, as Agent::endpoint() and Agent::methods() know them.
struct Endpoints {
  std::function<std::optional<Endpoint>(const std::string& method, const std::string& path)> find;
  std::function<std::vector<std::string>(const std::string& path)> methods;
};

struct Route {
  enum class Kind { action, internal, log, ping };
  Kind kind = Kind::action;
  std::string node;  ///< empty: this one
  std::string action;
  std::vector<std::string> variables;
  json::object parameters;  ///< the query without log_wait, sync_wait and outbox_ttl, each value a string; the last of equal names counts
  HistoryFilter filter;     ///< kind log: with the token
  std::optional<std::chrono::microseconds> log_wait, sync_wait;
  std::optional<std::int64_t> outbox_ttl;  ///< seconds that the message may wait for its node
};

/// A Route, or the answer that refuses the request.
std::variant<Route, HttpAnswer> route(std::string_view method, std::string_view target, const Endpoints& endpoints);

}  // namespace gorgone::httpserver
