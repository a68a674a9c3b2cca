#include "address.hpp"

#include <fmt/format.h>
#include <boost/asio/ip/v6_only.hpp>

#include <charconv>

namespace gorgone::mcollective {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::string_view scheme = "tcp://";

error_code open(tcp::acceptor& acceptor, const tcp::endpoint& at, bool is_any) {
  error_code error;
  acceptor.open(at.protocol(), error);
  if (error) return error;
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (at.address().is_v6()) acceptor.set_option(boost::asio::ip::v6_only(!is_any), error);
  acceptor.bind(at, error);
  if (error) return error;
  acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) return error;
  acceptor.non_blocking(true, error);
  return error;
}

}  // namespace

Result<tcp::endpoint> read_address(const std::string& text) {
  const Error expected{
      fmt::format("got \"{}\", expected tcp://ADDRESS:PORT with an IPv4 address, an IPv6 address in brackets or *, "
                  "such as tcp://*:61616",
                  text)};
  const auto colon = text.rfind(':');
  if (!text.starts_with(scheme) || colon < scheme.size() || colon == std::string::npos) return expected;
  auto host = text.substr(scheme.size(), colon - scheme.size());
  std::uint16_t port = 0;
  const auto* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + colon + 1, end, port);
  if (read.ec != std::errc() || read.ptr != end) return expected;
  if (host == "*") return tcp::endpoint(boost::asio::ip::address_v6::any(), port);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  if (error || address.is_v6() != is_bracketed) return expected;
  return tcp::endpoint(address, port);
}

Result<Listening> listen_at(boost::asio::io_context& loop, const std::string& text) {
  const auto at = read_address(text);
  if (!at) return Error{"modules.mcollective.bind: " + at.error().message};
  const bool is_any = text.starts_with("tcp://*:");
  Listening listening{tcp::acceptor(loop), {}};
  auto failed = open(listening.acceptor, *at, is_any);
  if (failed && is_any && failed != boost::asio::error::address_in_use) {
    // A machine without IPv6.
    error_code ignored;
    listening.acceptor.close(ignored);
    failed = open(listening.acceptor, {tcp::v4(), at->port()}, is_any);
  }
  if (failed)
    return Error{fmt::format("modules.mcollective.bind: cannot listen at {}: {}, expected a free port of an address of this host", text,
                             failed.message())};
  error_code error;
  const auto bound = listening.acceptor.local_endpoint(error);
  listening.endpoint = text.substr(0, text.rfind(':') + 1) + std::to_string(bound.port());
  return listening;
}

}  // namespace gorgone::mcollective
