#pragma once
// Opening a TCP port to listen on, the same for all servers of this process.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <boost/asio/ip/tcp.hpp>

namespace gorgone {

/// Opens `acceptor`, binds it to `endpoint` (one of IPv6 takes IPv4, too) and listens. A port that nobody listens on is free, also while
/// the kernel still knows connections of a daemon that has ended. Where it fails `acceptor` is closed, and the Error's code names what is
/// wrong: "port" or "address".
GORGONE_API Result<void> listen_on(boost::asio::ip::tcp::acceptor& acceptor, const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace gorgone
