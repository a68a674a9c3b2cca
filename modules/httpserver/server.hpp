#pragma once
// Listens and starts a session for each connection. On the loop; sessions belong to the agent and end before this does.

#include "session.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <optional>

namespace gorgone::httpserver {

class Server {
 public:
  Server(Agent& agent, Options options);

  /// Binds and listens. An Error names the option that is wrong.
  asio::awaitable<Result<void>> start();
  /// Accepts nothing more, has waiting clients answered with what there is, and gives their sessions a moment to end.
  asio::awaitable<void> stop();

  /// "http://192.0.2.7:8080", with the port that was taken.
  std::string url() const;
  std::uint16_t port() const { return bound_.port(); }

 private:
  asio::awaitable<Result<asio::ip::tcp::endpoint>> find_address();
  Result<void> listen(const asio::ip::tcp::endpoint& endpoint);
  asio::awaitable<void> accept_all();
  void welcome(asio::ip::tcp::socket socket);
  void refuse(asio::ip::tcp::socket socket, HttpAnswer answer);

  Agent& agent_;
  Shared shared_;
  asio::ip::tcp::acceptor acceptor_;
  asio::ip::tcp::endpoint bound_;
  std::size_t sessions_ = 0, refusals_ = 0;
  Clock::time_point last_full_{};
};

}  // namespace gorgone::httpserver
