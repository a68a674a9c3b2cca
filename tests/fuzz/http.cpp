// A request from its bytes to its route. The first byte says in pieces of what size the bytes come, 0 in one piece; the rest is what the
// client sends. Basic authentication is judged on the way.

#include "core/router.hpp"
#include "modules/httpserver/access.hpp"
#include "modules/httpserver/route.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/loop_agent.hpp"

#include <gorgone/base64.hpp>
#include <gorgone/http_parser.hpp>

#include <boost/beast/http.hpp>

#include <algorithm>
#include <array>

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::httpserver;

namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::size_t header_limit = 8192, body_limit = 16384;

struct Seen {
  bool is_whole = false, is_broken = false;
  std::string method, target, authorization, body;
  friend bool operator==(const Seen&, const Seen&) = default;
};

/// What the parser makes of `bytes` that come in pieces.
Seen parse(std::string_view bytes, std::size_t piece) {
  http::request_parser<http::string_body> parser;
  parser.header_limit(header_limit);
  parser.body_limit(body_limit);
  parser.eager(true);
  Seen seen;
  std::string buffer;
  while (!bytes.empty() && !parser.is_done() && !seen.is_broken) {
    const auto next = bytes.substr(0, piece);
    bytes.remove_prefix(next.size());
    buffer += next;
    boost::system::error_code error;
    const auto taken = parser.put(boost::asio::buffer(buffer), error);
    require(taken <= buffer.size(), "a parser takes no more than there is");
    buffer.erase(0, taken);
    seen.is_broken = error && error != http::error::need_more;
  }
  seen.is_whole = parser.is_done();
  if (!parser.is_header_done() || seen.is_broken) return seen;
  const auto& request = parser.get();
  seen.method = request.method_string();
  seen.target = request.target();
  seen.authorization = request[http::field::authorization];
  seen.body = request.body();
  require(seen.body.size() <= body_limit, "no body is longer than allowed");
  return seen;
}

struct Api {
  gorgone::test::RecordingJournal journal;
  Router router{journal};
  Endpoints endpoints;
  std::vector<Action> actions = {{"COMMAND", "POST", "/core/action/command"},
                                 {"ADDCRON", "POST", "/core/cron/definitions"},
                                 {"GETCRON", "GET", "/core/cron/definitions"},
                                 {"THUMBPRINT", "GET", "/internal/thumbprint"}};

  Api() {
    const auto added = router.add_module("all", actions, [](Message) {});
    require(added.has_value(), "the routes can be added");
    endpoints.find = [this](const std::string& method, const std::string& path) { return router.endpoint(method, path); };
    endpoints.methods = [this](const std::string& path) { return router.methods(path); };
  }
};

bool is_node_id(std::string_view id) {
  return std::all_of(id.begin(), id.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_'; });
}

void check_refused(const HttpAnswer& answer, std::string_view target) {
  require(answer.status == 400 || answer.status == 403 || answer.status == 404 || answer.status == 405, "a route is refused by 4xx",
          target);
  const auto body = parse_json(answer.body);
  require(body && member(*body, "error") && member(*body, "message"), "a refusal is JSON with error and message", answer.body);
  require(to_utf8(answer.body) == answer.body && is_one_clean_line(answer.body), "a refusal is one line of UTF-8", answer.body);
  require((answer.status == 405) == !answer.allow.empty(), "a wrong method is told the right ones", target);
}

void check_route(const Api& api, const Route& route, std::string_view method, std::string_view target) {
  require(is_node_id(route.node), "a node's id is one", target);
  require(!route.parameters.contains("log_wait") && !route.parameters.contains("sync_wait"), "waits are no parameters", target);
  for (const auto& wait : {route.log_wait, route.sync_wait})
    if (wait) require(wait->count() >= 0 && *wait <= longest_wait, "no wait is longer than allowed", target);
  if (route.kind == Route::Kind::log)
    return require(method == "GET" && route.filter.token && !route.filter.token->empty(), "a log is asked for by its token", target);

  if (route.kind == Route::Kind::ping) return require(method == "GET" && route.action == "PING", "a ping is asked for", target);
  const auto known =
      std::find_if(api.actions.begin(), api.actions.end(), [&](const Action& action) { return action.name == route.action; });
  require(known != api.actions.end() && known->method == method, "a route leads to an action of its method", target);
  require((route.kind == Route::Kind::internal) == known->path.starts_with("/internal"), "internal actions are known as such", target);
  for (const auto& variable : route.variables) {
    require(!variable.empty(), "a variable is no empty part of the path", target);
    require(to_utf8(variable) == variable, "a variable is UTF-8", target);
  }
}

void check_credentials(const std::string& header) {
  static const Credentials credentials("gorgone", "secret:ö");
  const bool is_right =
      header.size() > 6 && beast::iequals(header.substr(0, 6), "Basic ") && base64_decode(header.substr(6)) == "gorgone:secret:ö";
  if (credentials.accept(header)) require(is_right, "only the right password is accepted", header);
}

using Address = boost::asio::ip::address;

template <class Bytes>
bool begins_alike(const Bytes& one, const Bytes& other, std::size_t bits) {
  for (std::size_t i = 0; i < bits; ++i)
    if (((one[i / 8] ^ other[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
  return true;
}

/// Bit by bit; an address of IPv4 that is written as one of IPv6 is not asked for.
bool contains_slowly(const Address& network, std::size_t bits, const Address& address) {
  if (network.is_v4() != address.is_v4()) return false;
  if (network.is_v4()) return begins_alike(network.to_v4().to_bytes(), address.to_v4().to_bytes(), bits);
  return begins_alike(network.to_v6().to_bytes(), address.to_v6().to_bytes(), bits);
}

void check_subnet(const std::string& text) {
  const auto subnet = Subnet::parse(text);
  if (!subnet) return require(!subnet.error().message.empty(), "a network that is refused is told why", text);
  boost::system::error_code error;
  const auto slash = text.find('/');
  const auto network = boost::asio::ip::make_address(text.substr(0, slash), error);
  require(!error && subnet->contains(network), "a network holds the address it is named by", text);
  if (network.is_v6() && network.to_v6().is_v4_mapped()) return;
  const std::size_t bits = slash != text.npos ? std::stoul(text.substr(slash + 1)) : network.is_v4() ? 32 : 128;
  static const std::array others = {boost::asio::ip::make_address("192.0.2.77"), boost::asio::ip::make_address("2001:db8::4d")};
  for (const auto& other : others)
    require(subnet->contains(other) == contains_slowly(network, bits, other), "a network holds what begins as it does", text);
  require(contains({*subnet}, others[0]) == subnet->contains(others[0]), "of several networks one is enough", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Api api;
  Input input(data, size);
  const std::size_t piece = input.byte();
  const auto bytes = input.rest();
  const auto seen = parse(bytes, bytes.size() + 1);
  if (piece > 0 && bytes.size() <= header_limit) {
    const auto in_pieces = parse(bytes, piece);
    // What is broken may be known to be so earlier or later.
    if (seen.is_whole || in_pieces.is_whole) require(in_pieces == seen, "a request is the same however its bytes come", bytes);
  }
  if (seen.is_broken || seen.method.empty()) return 0;
  check_credentials(seen.authorization);
  check_subnet(seen.body);
  const auto result = route(seen.method, seen.target, api.endpoints);
  if (const auto* refused = std::get_if<HttpAnswer>(&result))
    check_refused(*refused, seen.target);
  else
    check_route(api, std::get<Route>(result), seen.method, seen.target);
  return 0;
}
