#include "wss_server.hpp"

#include <gorgone/listen.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>

namespace gorgone::proxy {
namespace {

using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto listen_again = 5000ms;
constexpr auto accept_again = 1000ms;
constexpr auto farewell_limit = 200ms;
constexpr auto stop_limit = 2s;
constexpr auto stop_step = 5ms;

}  // namespace

WssServer::WssServer(Agent& agent, WssOptions options) : agent_(agent), shared_(agent, std::move(options)), pause_(agent.loop()) {}

void WssServer::start() {
  if (shared_.options.is_enabled) agent_.spawn(run());
}

Result<std::unique_ptr<Link>> WssServer::open(const NodeSpec& node, LinkOwner& owner) {
  if (!shared_.options.is_enabled)
    return Error{
        "its type is " + node.type +
        ", so it must connect to this node; expected httpserver.enable: true, and a token, in the configuration of the proxy module"};
  return shared_.nodes.open(node, owner);
}

asio::awaitable<Result<void>> WssServer::listen() {
  const auto& options = shared_.options;
  if (options.is_tls && !shared_.tls) {
    auto tls = make_tls_server(options.tls_files);
    if (!tls) co_return Error{"modules.proxy.httpserver." + tls.error().message};
    shared_.tls = std::move(*tls);
  }
  auto endpoints = co_await find_endpoints(agent_, options.address, options.port);
  if (shared_.is_stopping) co_return Result<void>{};
  if (!endpoints) co_return Error{"modules.proxy.httpserver.address: " + endpoints.error().message + " (default 0.0.0.0)"};
  auto acceptors = listen_on(agent_.loop(), *endpoints);
  if (!acceptors) co_return Error{fmt::format("modules.proxy.httpserver.{}: {}", acceptors.error().code, acceptors.error().message)};
  acceptors_ = std::move(*acceptors);
  for (auto& acceptor : acceptors_) {
    agent_.log().info("httpserver: listening on {}://{}", options.is_tls ? "wss" : "ws", text_of(acceptor.local_endpoint()));
    agent_.spawn(accept_all(acceptor));
  }
  co_return Result<void>{};
}

asio::awaitable<void> WssServer::run() {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::string told;
  while (!shared_.is_stopping) {
    const auto listening = co_await listen();
    if (listening) co_return;
    if (listening.error().message != told) agent_.log().error("nodes of type wss cannot connect: {}", listening.error().message);
    told = listening.error().message;
    pause_.expires_after(listen_again);
    ErrorCode ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await pause_.async_wait(token);
  }
}

asio::awaitable<void> WssServer::accept_all(tcp::acceptor& acceptor) {
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::steady_timer pause(agent_.loop());
  while (!shared_.is_stopping) {
    ErrorCode error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    auto connection = co_await acceptor.async_accept(token);
    if (shared_.is_stopping || error == asio::error::operation_aborted) co_return;
    if (error == asio::error::connection_aborted) continue;
    if (error) {
      // Out of file descriptors, as a rule: the connection stays in the queue, trying again at once would spin.
      agent_.log().warning("httpserver: cannot accept a connection, trying again in 1 s: {} (connections={})", error.message(),
                           shared_.sessions);
      pause.expires_after(accept_again);
      co_await pause.async_wait(token);
    } else if (has_room()) {
      agent_.spawn(serve(std::move(connection)));
    }
  }
}

// Whoever connects and does not say which node it is keeps no node out.
bool WssServer::has_room() {
  const auto& options = shared_.options;
  if (shared_.sessions < options.max_connections && shared_.greeting.size() < options.max_greeting) return true;
  if (shared_.may_log("full"))
    agent_.log().warning(
        "httpserver: a connection was closed, there are too many: {} (max_connections), {} of them without a node "
        "(max_greeting){}",
        shared_.sessions, shared_.greeting.size(), shared_.greeting.empty() ? "" : "; the oldest of these makes room");
  if (shared_.greeting.empty()) return false;
  shared_.greeting.front()->give_way();
  return true;
}

asio::awaitable<void> WssServer::serve(tcp::socket connection) {
  WssSession session(shared_);
  co_await session.run(std::move(connection));
}

asio::awaitable<void> WssServer::stop() {
  shared_.is_stopping = true;
  ErrorCode ignored;
  for (auto& acceptor : acceptors_) acceptor.close(ignored);
  pause_.cancel();
  for (const auto& weak : std::list(shared_.sockets))
    if (const auto socket = weak.lock()) socket->end({}, 1001, "the central is stopping");
  // Callbacks that the core owes are code of this module, too.
  asio::steady_timer step(agent_.loop());
  const auto begun = Clock::now();
  bool is_cut = false;
  while ((!shared_.sockets.empty() || shared_.owed.use_count() > 1) && Clock::now() < begun + stop_limit) {
    if (!is_cut && Clock::now() > begun + farewell_limit) {
      is_cut = true;
      for (const auto& weak : std::list(shared_.sockets))
        if (const auto socket = weak.lock()) socket->cut("the central is stopping");
    }
    step.expires_after(stop_step);
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await step.async_wait(token);
  }
}

}  // namespace gorgone::proxy
