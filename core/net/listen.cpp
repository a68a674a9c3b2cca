#include <gorgone/listen.hpp>

#include <boost/asio/ip/v6_only.hpp>

#include <sys/socket.h>

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace gorgone {
namespace {

namespace asio = boost::asio;
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

}  // namespace

Result<void> listen_on(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  ErrorCode ignored;
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
  if (!error) return {};
  acceptor.close(ignored);
  return Error{error.message(), is_port || is_bound ? "port" : "address"};
}

}  // namespace gorgone
