#pragma once
// Finds out why there is no connection to an address: one TCP connect, whose outcome names the layer that fails. Lives on the loop.

#include <gorgone/result.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <string>

namespace gorgone::net {

class TcpProbe {
 public:
  /// `done` gets an Error whose code is one of gorgone::down, once; not after the probe is gone. `endpoint` is "tcp://1.2.3.4:5556".
  TcpProbe(boost::asio::io_context& loop, const std::string& endpoint, std::function<void(Error)> done);

 private:
  std::shared_ptr<boost::asio::ip::tcp::socket> socket_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::net
