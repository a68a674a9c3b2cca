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

Server::Server(Agent& agent, Options options) : agent_(agent), shared_(agent, std::move(options)), acceptor_(agent.loop()) {}

asio::awaitable<Result<void>> Server::start() {
  if (shared_.options.is_tls) {
    auto context = make_tls_server(shared_.options.tls_files);
    if (!context) co_return Error{"modules.httpserver." + context.error().message};
    shared_.tls = std::move(*context);
  }
  auto endpoint = co_await find_address();
  if (!endpoint) co_return endpoint.error();
  auto listening = listen(*endpoint);
  if (!listening) co_return listening.error();
  agent_.log().info("listening on {}", url());
  agent_.spawn(accept_all());
  co_return Result<void>{};
}

asio::awaitable<Result<tcp::endpoint>> Server::find_address() {
  const auto& options = shared_.options;
  ErrorCode error;
  auto address = asio::ip::make_address(options.address == "*" ? "0.0.0.0" : options.address, error);
  if (!error) co_return tcp::endpoint(address, options.port);

  // A name: asking for it may take seconds.
  auto look_up = [name = options.address, port = options.port]() -> Result<tcp::endpoint> {
    asio::io_context context;
    tcp::resolver resolver(context);
    ErrorCode failure;
    auto found = resolver.resolve(name, std::to_string(port), tcp::resolver::passive, failure);
    if (failure || found.empty()) return Error{failure.message()};
    return found.begin()->endpoint();
  };
  auto found = co_await agent_.blocking(std::move(look_up));
  if (found) co_return *found;
  co_return Error{fmt::format("modules.httpserver.address: got \"{}\", {}, expected an address of this host or its name (default 0.0.0.0)",
                              options.address, found.error().message)};
}

Result<void> Server::listen(const tcp::endpoint& endpoint) {
  const auto listening = listen_on(acceptor_, endpoint);
  if (!listening)
    return Error{fmt::format("modules.httpserver.{}: cannot listen on {}:{}: {}, expected a free port of an address of this host",
                             listening.error().code, endpoint.address().to_string(), endpoint.port(), listening.error().message)};
  bound_ = acceptor_.local_endpoint();
  return {};
}

asio::awaitable<void> Server::stop() {
  ErrorCode ignored;
  acceptor_.close(ignored);
  shared_.stopping.ask();
  // The callbacks that the core owes us are code of this module, too.
  const auto limit = Clock::now() + stop_limit;
  asio::steady_timer pause(agent_.loop());
  while (sessions_ + refusals_ + shared_.api.owed() > 0 && Clock::now() < limit) {
    pause.expires_after(stop_step);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

std::string Server::url() const {
  auto address = bound_.address().to_string();
  if (bound_.address().is_v6()) address = "[" + address + "]";
  return fmt::format("{}://{}:{}", shared_.options.is_tls ? "https" : "http", address, bound_.port());
}

asio::awaitable<void> Server::accept_all() {
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::steady_timer pause(agent_.loop());
  while (acceptor_.is_open()) {
    ErrorCode error;
    auto socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    const bool cancelled = co_await is_cancelled();
    if (cancelled || !acceptor_.is_open()) co_return;
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
