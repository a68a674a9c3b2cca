#pragma once
// Opening a TCP port to listen on, the same for all servers of this process.

#include <gorgone/agent.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gorgone {

/// What a server's `address` stands for: an address, "*" (all of IPv4), or a name of this host, which may have several and is looked up off
/// the loop. The Error says what was got and what was expected.
GORGONE_API asio::awaitable<Result<std::vector<asio::ip::tcp::endpoint>>> find_endpoints(Agent& agent, std::string address,
                                                                                         std::uint16_t port);

/// Listens on all of them, at one port: where it is 0, the one that is free for the first. An address of IPv6 takes IPv4, too. One that
/// this host has not (a name may have one that does not exist here) is passed over where another one does. A port that nobody listens on is
/// free, also while the kernel still knows connections of a daemon that has ended. The Error's code names what is wrong: "port" or
/// "address".
GORGONE_API Result<std::vector<asio::ip::tcp::acceptor>> listen_on(asio::io_context& loop,
                                                                   const std::vector<asio::ip::tcp::endpoint>& endpoints);

/// "127.0.0.1:8085", "[::1]:8085"
GORGONE_API std::string text_of(const asio::ip::tcp::endpoint& endpoint);

}  // namespace gorgone
