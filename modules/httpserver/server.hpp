#pragma once
// Listens and starts a session for each connection. On the loop; sessions belong to the agent and end before this does.

#include "session.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace gorgone::httpserver {

class Server {
 public:
  Server(Agent& agent, Options options);

  /// Binds and listens, on all addresses that a name has. An Error names the option that is wrong.
  asio::awaitable<Result<void>> start();
  /// Accepts nothing more, has waiting clients answered with what there is, and gives their sessions a moment to end.
  asio::awaitable<void> stop();

  /// "http://192.0.2.7:8080", with the port that was taken; of a name's addresses the first.
  std::string url() const { return url(bound_); }
  std::uint16_t port() const { return bound_.port(); }

 private:
  std::string url(const asio::ip::tcp::endpoint& endpoint) const;
  asio::awaitable<void> accept_all(asio::ip::tcp::acceptor& acceptor);
  void welcome(asio::ip::tcp::socket socket);
  void refuse(asio::ip::tcp::socket socket, HttpAnswer answer);

  Agent& agent_;
  Shared shared_;
  std::vector<asio::ip::tcp::acceptor> acceptors_;
  asio::ip::tcp::endpoint bound_;
  std::size_t sessions_ = 0, refusals_ = 0;
  Clock::time_point last_full_{};
};

}  // namespace gorgone::httpserver
