#include <netinet/tcp.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <gorgone/web_stream.hpp>

#include <optional>

#include "core/net/resolver.hpp"

namespace gorgone {
namespace {

using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Milliseconds = std::chrono::milliseconds;

// What the system takes to be sent, beyond what is on its way: keeps pings from queueing behind a long message.
constexpr int unsent_in_system = 32 * 1024;

// A question to a name server cannot be interrupted: who waits goes on without it.
struct Lookup {
  explicit Lookup(asio::io_context& loop) : ready(loop) {}
  asio::steady_timer ready;
  std::optional<Result<net::Resolver::Addresses>> found;
};

asio::awaitable<Result<net::Resolver::Addresses>> look_up(asio::io_context& loop, const std::string& host, Milliseconds limit) {
  auto lookup = std::make_shared<Lookup>(loop);
  lookup->ready.expires_after(limit);
  auto done = [lookup](const Result<net::Resolver::Addresses>& found) {
    lookup->found = found;
    lookup->ready.cancel();
  };
  asio::use_service<net::Resolver>(loop).look_up(host, std::move(done));
  ErrorCode ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await lookup->ready.async_wait(token);
  if (!lookup->found) co_return Error{fmt::format("the name '{}' was not looked up within {} ms", host, limit.count())};
  if (!*lookup->found) co_return Error{fmt::format("the name '{}' leads nowhere: {}", host, lookup->found->error().message)};
  co_return **lookup->found;
}

std::string text_of_place(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address().to_string();
  return fmt::format("{}:{}", endpoint.address().is_v6() ? "[" + address + "]" : address, endpoint.port());
}

std::string why_not(const tcp::endpoint& endpoint, const ErrorCode& error, Milliseconds limit) {
  const auto place = text_of_place(endpoint);
  if (error == boost::beast::error::timeout) return fmt::format("no answer from {} within {} ms", place, limit.count());
  if (error == asio::error::connection_refused) return fmt::format("{} refuses the connection: nothing listens there", place);
  if (error == asio::error::network_unreachable || error == asio::error::host_unreachable) return fmt::format("no route to {}", place);
  return fmt::format("cannot connect to {}: {}", place, error.message());
}

}  // namespace

WebStream::WebStream(tcp::socket socket, Milliseconds unheard) : tcp_(std::make_unique<Tcp>(std::move(socket))) {
  ErrorCode ignored;
  tcp_->socket().set_option(tcp::no_delay(true), ignored);
  const auto descriptor = tcp_->socket().native_handle();
  const auto user_timeout = static_cast<unsigned>(unheard.count());
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_in_system, sizeof unsent_in_system);
}

asio::awaitable<Result<WebStream>> WebStream::connect(asio::io_context& loop, const std::string& host, std::uint16_t port,
                                                      Milliseconds limit, Milliseconds unheard) {
  auto found = co_await look_up(loop, host, limit);
  if (!found) co_return found.error();
  std::string why;
  for (const auto& address : *found) {
    Tcp attempt(loop);
    attempt.expires_after(limit);
    ErrorCode error;
    const tcp::endpoint endpoint(address, port);
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await attempt.async_connect(endpoint, token);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return Error{"the module is stopping"};
    if (!error) {
      attempt.expires_never();
      WebStream stream(attempt.release_socket(), unheard);
      co_return stream;
    }
    why += (why.empty() ? "" : "; ") + why_not(endpoint, error, limit);
  }
  co_return Error{why};
}

asio::awaitable<Result<void>> WebStream::tls_as_client(TlsContext context, const std::string& host, bool verify, Milliseconds limit) {
  begin_tls(std::move(context));
  turns_->pass();
  expect_server(tls_->native_handle(), host, verify);
  auto outcome = co_await handshake(asio::ssl::stream_base::client, limit);
  co_return outcome;
}

asio::awaitable<Result<void>> WebStream::tls_as_server(TlsContext context, Milliseconds limit) {
  begin_tls(std::move(context));
  auto outcome = co_await handshake(asio::ssl::stream_base::server, limit);
  co_return outcome;
}

void WebStream::begin_tls(TlsContext context) {
  context_ = std::move(context);
  turns_ = std::make_unique<TlsInTurn<Tcp>>(*tcp_);
  tls_ = std::make_unique<Tls>(*turns_, *context_);
}

asio::awaitable<Result<void>> WebStream::handshake(asio::ssl::stream_base::handshake_type side, Milliseconds limit) {
  tcp_->expires_after(limit);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await tls_->async_handshake(side, token);
  turns_->pass();
  tcp_->expires_never();
  if (!error) co_return Result<void>{};
  if (error == boost::beast::error::timeout) co_return Error{fmt::format("TLS: no answer within {} ms", limit.count())};
  co_return Error{"TLS: " + tls_failure(tls_->native_handle(), error)};
}

std::string WebStream::peer() const {
  ErrorCode error;
  const auto endpoint = tcp_->socket().remote_endpoint(error);
  return error ? std::string() : text_of_place(endpoint);
}

}  // namespace gorgone
