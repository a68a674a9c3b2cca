#include "route.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <span>

namespace gorgone::httpserver {

namespace {

namespace urls = boost::urls;

using Segments = std::span<const std::string>;

std::optional<urls::url_view> parse_target(std::string_view target) {
  // Clients that believe to talk to a proxy send the whole URL.
  auto parsed = target.starts_with('/') ? urls::parse_origin_form(target) : urls::parse_uri(target);
  if (!parsed) return {};
  return *parsed;
}

std::vector<std::string> segments_of(const urls::url_view& url) {
  std::vector<std::string> segments;
  for (const auto& segment : url.segments()) segments.push_back(to_utf8(segment));
  while (!segments.empty() && segments.back().empty()) segments.pop_back();
  return segments;
}

json::object parameters_of(const urls::url_view& url) {
  urls::encoding_opts form;
  form.space_as_plus = true;
  json::object parameters;
  for (const auto& parameter : url.params(form)) parameters[to_utf8(parameter.key)] = to_utf8(parameter.value);
  return parameters;
}

/// "/core/action/command": a slash inside of a segment must not become one between two.
std::string path_of(Segments segments) {
  std::string path;
  for (const auto& segment : segments) {
    path += '/';
    for (char c : segment) {
      if (c == '/')
        path += "%2F";
      else
        path += c;
    }
  }
  return path;
}

bool is_node_id(std::string_view text) {
  auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-' || c == '.';
  };
  return text.size() <= 255 && std::all_of(text.begin(), text.end(), allowed);
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

/// Reads numbers out of a query and remembers the first that is none.
class Numbers {
 public:
  explicit Numbers(json::object& query) : query_(query) {}

  template <class T>
  std::optional<T> read(const char* name, const char* expected, T min, T max) {
    auto* value = query_.if_contains(name);
    if (!value || value->as_string().empty()) return {};
    std::string_view text = value->as_string();
    auto number = parse_number<T>(text);
    // Not "number < min": NaN must fail too.
    if (number && *number >= min && *number <= max) return number;
    if (!refused_) refused_ = bad_request("invalid_parameter", fmt::format("{}: got \"{}\", expected {}", name, printable(text), expected));
    return {};
  }

  std::optional<std::chrono::microseconds> take_wait(const char* name) {
    auto wait = read<std::int64_t>(name, "microseconds from 0 to 3600000000", 0, longest_wait.count());
    query_.erase(name);
    if (!wait) return {};
    return std::chrono::microseconds(*wait);
  }

  const std::optional<HttpAnswer>& refused() const { return refused_; }

 private:
  json::object& query_;
  std::optional<HttpAnswer> refused_;
};

constexpr std::int64_t highest_integer = std::numeric_limits<std::int64_t>::max();

HistoryFilter filter_of(Numbers& numbers, std::string token) {
  HistoryFilter filter;
  filter.token = std::move(token);
  filter.code = numbers.read<int>("code", "a history code from 0 to 9999", 0, 9999);
  filter.id_after = numbers.read<std::int64_t>("id", "a row's number from 0", 0, highest_integer);
  filter.etime_after = numbers.read<std::int64_t>("etime", "seconds since 1970", 0, highest_integer);
  filter.ctime_after = numbers.read<double>("ctime", "seconds since 1970, with decimals or without", 0, 1e15);
  filter.limit = numbers.read<std::size_t>("limit", "a number of rows from 1 to 1000000", 1, 1000000);
  return filter;
}

std::string join(const std::vector<std::string>& words, std::string_view between) { return fmt::format("{}", fmt::join(words, between)); }

}  // namespace

std::variant<Route, HttpAnswer> route(std::string_view method, std::string_view target, const Endpoints& endpoints) {
  auto url = parse_target(target);
  if (!url) return bad_request("invalid_target", "the request's target is no valid path: '" + printable(target) + "'");
  auto all = segments_of(*url);
  if (all.empty() || all.front() != "api") return forbidden();

  Route found;
  Segments rest = Segments(all).subspan(1);
  if (rest.size() >= 2 && rest[0] == "nodes") {
    if (!is_node_id(rest[1])) return bad_request("invalid_target", "nodes/<id>: '" + printable(rest[1]) + "' is no id of a node");
    found.node = rest[1];
    rest = rest.subspan(2);
  }

  found.parameters = parameters_of(*url);
  Numbers numbers(found.parameters);
  found.log_wait = numbers.take_wait("log_wait");
  found.sync_wait = numbers.take_wait("sync_wait");
  found.outbox_ttl = numbers.read<std::int64_t>("outbox_ttl", "seconds from 1 to 604800", 1, 604800);
  found.parameters.erase("outbox_ttl");

  // Of deployed daemons: the one path that names its node at its end.
  const bool is_ping = rest.size() == 4 && rest[0] == "internal" && rest[1] == "nodes" && rest[3] == "ping";
  if (is_ping) {
    if (method != "GET") return method_not_allowed("GET");
    if (!is_node_id(rest[2])) return bad_request("invalid_target", "internal/nodes/<id>: '" + printable(rest[2]) + "' is no id of a node");
    found.kind = Route::Kind::ping;
    found.action = "PING";
    found.node = rest[2];
  } else if (rest.size() >= 2 && rest[0] == "log") {
    if (method != "GET") return method_not_allowed("GET");
    found.kind = Route::Kind::log;
    found.filter = filter_of(numbers, path_of(rest.subspan(1)).substr(1));
  } else {
    auto path = path_of(rest);
    auto endpoint = rest.empty() ? std::nullopt : endpoints.find(std::string(method), path);
    if (!endpoint) {
      auto methods = rest.empty() ? std::vector<std::string>() : endpoints.methods(path);
      return methods.empty() ? method_unknown() : method_not_allowed(join(methods, ", "));
    }
    found.kind = rest[0] == "internal" ? Route::Kind::internal : Route::Kind::action;
    found.action = std::move(endpoint->action);
    // The same parts as in endpoint->variables, which knows no empty ones, but decoded once and with their own slashes.
    std::copy_if(rest.begin(), rest.end(), std::back_inserter(found.variables), [](const std::string& part) { return !part.empty(); });
    const auto before = found.variables.size() - std::min(endpoint->variables.size(), found.variables.size());
    found.variables.erase(found.variables.begin(), found.variables.begin() + static_cast<std::ptrdiff_t>(before));
  }
  if (numbers.refused()) return *numbers.refused();
  return found;
}

}  // namespace gorgone::httpserver
