#include "server.hpp"

#include <gorgone/listen.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace gorgone::httpserver {

namespace {

using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using namespace std::chrono_literals;

constexpr std::size_t most_refusals = 64;
constexpr auto stop_limit = 2s;
constexpr auto stop_step = 10ms;

/// Counts what lives, as long as it lives.
class Counted {
 public:
  explicit Counted(std::size_t& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::size_t& count_;
};

asio::awaitable<void> counted(std::size_t& count, asio::awaitable<void> work) {
  const Counted alive(count);
  co_await std::move(work);
}

}  // namespace

Server::Server(Agent& agent, Options options) : agent_(agent), shared_(agent, std::move(options)) {}

asio::awaitable<Result<void>> Server::start() {
  if (shared_.options.is_tls) {
    auto context = make_tls_server(shared_.options.tls_files);
    if (!context) co_return Error{"modules.httpserver." + context.error().message};
    shared_.tls = std::move(*context);
  }
  auto endpoints = co_await find_endpoints(agent_, shared_.options.address, shared_.options.port);
  if (!endpoints) co_return Error{"modules.httpserver.address: " + endpoints.error().message + " (default 0.0.0.0)"};
  auto acceptors = listen_on(agent_.loop(), *endpoints);
  if (!acceptors) co_return Error{fmt::format("modules.httpserver.{}: {}", acceptors.error().code, acceptors.error().message)};
  acceptors_ = std::move(*acceptors);
  bound_ = acceptors_.front().local_endpoint();
  for (auto& acceptor : acceptors_) {
    agent_.log().info("listening on {}", url(acceptor.local_endpoint()));
    agent_.spawn(accept_all(acceptor));
  }
  co_return Result<void>{};
}

asio::awaitable<void> Server::stop() {
  ErrorCode ignored;
  for (auto& acceptor : acceptors_) acceptor.close(ignored);
  shared_.stopping.ask();
  // The callbacks that the core owes us are code of this module, too.
  const auto limit = Clock::now() + stop_limit;
  asio::steady_timer pause(agent_.loop());
  while (sessions_ + refusals_ + shared_.api.owed() > 0 && Clock::now() < limit) {
    pause.expires_after(stop_step);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

std::string Server::url(const tcp::endpoint& endpoint) const {
  return fmt::format("{}://{}", shared_.options.is_tls ? "https" : "http", text_of(endpoint));
}

asio::awaitable<void> Server::accept_all(tcp::acceptor& acceptor) {
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::steady_timer pause(agent_.loop());
  while (acceptor.is_open()) {
    ErrorCode error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    const bool cancelled = co_await is_cancelled();
    if (cancelled || !acceptor.is_open()) co_return;
    if (!error) {
      welcome(std::move(socket));
      continue;
    }
    if (error == asio::error::connection_aborted) continue;
    // Out of file descriptors, as a rule: the connection stays in the queue, trying again at once would spin.
    agent_.log().warning("cannot accept a connection, trying again in 1 s: {} (sessions={})", error.message(), sessions_);
    pause.expires_after(1s);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

void Server::welcome(tcp::socket socket) {
  ErrorCode error;
  const auto client = socket.remote_endpoint(error).address();
  if (error) return;
  const auto& options = shared_.options;
  if (options.subnets && !contains(*options.subnets, client)) {
    shared_.refused(client, "the address is not in allowed_hosts.subnets");
    return refuse(std::move(socket), unauthorized());
  }
  // Whoever connects and says nothing keeps nobody out who has something to ask.
  const bool has_room = sessions_ < options.max_connections || shared_.without_request.make_room();
  if (sessions_ >= options.max_connections && Clock::now() - last_full_ > 10s) {
    last_full_ = Clock::now();
    agent_.log().warning("{}: there are {} already (max_connections)",
                         has_room ? "the oldest connections without a request are closed for others" : "connections are refused",
                         sessions_);
  }
  if (!has_room) return refuse(std::move(socket), refusal(503, "http_error_503", "too many connections (max_connections)"));
  agent_.spawn(counted(sessions_, run_session(shared_, std::move(socket))));
}

void Server::refuse(tcp::socket socket, HttpAnswer answer) {
  if (refusals_ < most_refusals) agent_.spawn(counted(refusals_, refuse_session(shared_, std::move(socket), std::move(answer))));
}

}  // namespace gorgone::httpserver
