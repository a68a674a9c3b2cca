#pragma once
// The proxy's httpserver: listens for nodes of type wss and gives the proxy links to them. On the loop; its connections are the
// agent's tasks and end before it does.

#include "wss_session.hpp"

namespace gorgone::proxy {

class WssServer {
 public:
  WssServer(Agent& agent, WssOptions options);

  static bool serves(const std::string& type) { return type == "wss" || type == "pullwss"; }

  /// Listens, where it is enabled; what keeps it from that is logged and tried again.
  void start();
  /// Says farewell to all nodes.
  asio::awaitable<void> stop();
  /// A link over the connection that the node makes.
  Result<std::unique_ptr<Link>> open(const NodeSpec& node, LinkOwner& owner);

 private:
  asio::awaitable<Result<void>> listen();
  asio::awaitable<void> run();
  asio::awaitable<void> accept_all(asio::ip::tcp::acceptor& acceptor);
  /// For another connection, if need be in the place of one that has not greeted.
  bool has_room();
  asio::awaitable<void> serve(asio::ip::tcp::socket connection);

  Agent& agent_;
  WssShared shared_;
  std::vector<asio::ip::tcp::acceptor> acceptors_;
  asio::steady_timer pause_;
};

}  // namespace gorgone::proxy
