#pragma once
// Listening at an address as ZeroMQ writes it: "tcp://*:61616", "tcp://192.0.2.1:61616", "tcp://[::1]:0". On the loop.

#include <gorgone/result.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <string>

namespace gorgone::mcollective {

struct Listening {
  boost::asio::ip::tcp::acceptor acceptor;
  std::string endpoint;  ///< with the port that was chosen for port 0
};

/// An Error says what is expected.
Result<boost::asio::ip::tcp::endpoint> read_address(const std::string& text);
/// `*` listens on IPv6 and IPv4 where there is both. An Error names the address and the option `bind`.
Result<Listening> listen_at(boost::asio::io_context& loop, const std::string& text);

}  // namespace gorgone::mcollective
