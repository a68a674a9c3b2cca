#include <gorgone/listen.hpp>

#include <fmt/format.h>

#include <boost/asio/ip/v6_only.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace gorgone {
namespace {

using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// As proc(5) has it: "sl local_address rem_address st …", the port behind the colon and the state in hexadecimal digits.
bool is_listened_on(std::uint16_t port) {
  constexpr unsigned long state_listen = 0x0A;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    if (!std::getline(file, line)) {
      if (table == std::string_view("/proc/net/tcp")) return true;  // nobody can tell
      continue;
    }
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string number, local, remote, state;
      if (!(words >> number >> local >> remote >> state)) continue;
      const auto colon = local.rfind(':');
      if (colon == std::string::npos || std::stoul(state, nullptr, 16) != state_listen) continue;
      if (std::stoul(local.substr(colon + 1), nullptr, 16) == port) return true;
    }
  }
  return false;
}

ErrorCode bind(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, bool shares_port) {
  ErrorCode error;
  acceptor.open(endpoint.protocol(), error);
  if (error) return error;
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  const int yes = 1;
  if (shares_port) ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(false), error);
  acceptor.bind(endpoint, error);
  return error;
}

Result<tcp::acceptor> listen_on_one(asio::io_context& loop, const tcp::endpoint& endpoint) {
  ErrorCode ignored;
  tcp::acceptor acceptor(loop);
  auto error = bind(acceptor, endpoint, false);
  // Connections of a server that had set SO_REUSEPORT and not SO_REUSEADDR, as the Perl daemon's has, hold the port for a minute after
  // its end, except for whoever sets the same.
  if (error == asio::error::address_in_use && endpoint.port() != 0 && !is_listened_on(endpoint.port())) {
    acceptor.close(ignored);
    error = bind(acceptor, endpoint, true);
  }
  const bool is_port = error == asio::error::address_in_use || error == asio::error::access_denied;
  const bool is_bound = !error;
  if (is_bound) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return acceptor;
  return Error{fmt::format("cannot listen on {}: {}, expected a free port of an address of this host", text_of(endpoint), error.message()),
               is_port || is_bound ? "port" : "address"};
}

Result<std::vector<tcp::endpoint>> look_up(const std::string& name, std::uint16_t port) {
  asio::io_context context;
  tcp::resolver resolver(context);
  ErrorCode error;
  const auto found = resolver.resolve(name, std::to_string(port), tcp::resolver::passive, error);
  if (error) return Error{error.message()};
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found)
    if (std::ranges::find(endpoints, entry.endpoint()) == endpoints.end()) endpoints.push_back(entry.endpoint());
  return endpoints;
}

}  // namespace

asio::awaitable<Result<std::vector<tcp::endpoint>>> find_endpoints(Agent& agent, std::string address, std::uint16_t port) {
  ErrorCode is_a_name;
  const auto literal = asio::ip::make_address(address.empty() || address == "*" ? "0.0.0.0" : address, is_a_name);
  if (!is_a_name) co_return std::vector{tcp::endpoint(literal, port)};
  // Asking for it may take seconds.
  auto ask = [address, port] { return look_up(address, port); };
  auto found = co_await agent.blocking(std::move(ask));
  if (found && !found->empty()) co_return found;
  co_return Error{fmt::format("got \"{}\", {}, expected an address of this host or its name", printable(address),
                              found ? "which has no address" : found.error().message)};
}

Result<std::vector<tcp::acceptor>> listen_on(asio::io_context& loop, const std::vector<tcp::endpoint>& endpoints) {
  std::vector<tcp::acceptor> acceptors;
  Error why{"there is no address to listen on", "address"};
  for (auto endpoint : endpoints) {
    if (endpoint.port() == 0 && !acceptors.empty()) endpoint.port(acceptors.front().local_endpoint().port());
    auto acceptor = listen_on_one(loop, endpoint);
    if (acceptor)
      acceptors.push_back(std::move(*acceptor));
    else if (acceptor.error().code == "port")
      return acceptor.error();
    else
      why = acceptor.error();
  }
  if (acceptors.empty()) return why;
  return acceptors;
}

std::string text_of(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address().to_string();
  return fmt::format("{}:{}", endpoint.address().is_v6() ? "[" + address + "]" : address, endpoint.port());
}

}  // namespace gorgone
