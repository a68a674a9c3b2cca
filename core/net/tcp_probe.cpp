#include "core/net/tcp_probe.hpp"

#include <gorgone/link.hpp>

#include <cstdlib>

namespace gorgone::net {
namespace {

constexpr auto limit = std::chrono::seconds(3);

Error reason_of(const boost::system::error_code& error, const std::string& endpoint) {
  namespace errors = boost::asio::error;
  if (!error) return Error{endpoint + " takes connections, but does not speak ZeroMQ's protocol, or hangs", down::mute};
  if (error == errors::connection_refused) return Error{"nothing listens at " + endpoint + ": connection refused", down::refused};
  if (error == errors::operation_aborted || error == errors::timed_out)
    return Error{"nothing answers from " + endpoint + ": no packet came back, a firewall or a machine that is off", down::no_route};
  return Error{"no way to " + endpoint + ": " + error.message(), down::no_route};
}

}  // namespace

TcpProbe::TcpProbe(boost::asio::io_context& loop, const std::string& endpoint, std::function<void(Error)> done)
    : socket_(std::make_shared<boost::asio::ip::tcp::socket>(loop)), timer_(loop) {
  const auto begin = endpoint.find("//") + 2, colon = endpoint.rfind(':');
  auto host = endpoint.substr(begin, colon - begin);
  if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);
  boost::system::error_code ignored;
  const auto address = boost::asio::ip::make_address(host, ignored);
  const auto port = static_cast<unsigned short>(std::strtoul(endpoint.c_str() + colon + 1, nullptr, 10));
  timer_.expires_after(limit);
  timer_.async_wait([socket = socket_](const boost::system::error_code& error) {
    boost::system::error_code none;
    if (!error) socket->close(none);
  });
  socket_->async_connect({address, port}, [this, socket = socket_, endpoint, done = std::move(done),
                                           alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    boost::system::error_code none;
    socket->close(none);
    if (alive.expired()) return;
    timer_.cancel();
    done(reason_of(error, endpoint));
  });
}

}  // namespace gorgone::net
