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
using ErrorCode = WebStream::ErrorCode;
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

WebStream::WebStream(Socket socket) : connection_(std::make_shared<Connection>(std::move(socket))) {}

WebStream::WebStream(Socket socket, Milliseconds unheard) : WebStream(std::move(socket)) { set_options(unheard); }

WebStream::~WebStream() {
  if (connection_) close();
}

void WebStream::set_options(Milliseconds unheard) {
  ErrorCode ignored;
  next_layer().set_option(tcp::no_delay(true), ignored);
  const auto descriptor = next_layer().native_handle();
  const auto user_timeout = static_cast<unsigned>(unheard.count());
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_in_system, sizeof unsent_in_system);
}

void WebStream::expires_after(Milliseconds limit) {
  auto& timer = connection_->limit;
  timer.expires_after(limit);
  timer.async_wait([held = std::weak_ptr(connection_)](const ErrorCode& error) {
    const auto connection = held.lock();
    // Set anew, its handler may have been on its way already.
    if (error || !connection || connection->limit.expiry() > std::chrono::steady_clock::now()) return;
    connection->has_expired = true;
    ErrorCode ignored;
    connection->socket.close(ignored);
  });
}

void WebStream::expires_never() { connection_->limit.expires_at(std::chrono::steady_clock::time_point::max()); }

void WebStream::close() {
  ErrorCode ignored;
  next_layer().close(ignored);
}

asio::awaitable<Result<WebStream>> WebStream::connect(asio::io_context& loop, const std::string& host, std::uint16_t port,
                                                      Milliseconds limit, Milliseconds unheard) {
  auto found = co_await look_up(loop, host, limit);
  if (!found) co_return found.error();
  std::string why;
  for (const auto& address : *found) {
    WebStream attempt{Socket(loop)};
    attempt.expires_after(limit);
    ErrorCode error;
    const tcp::endpoint endpoint(address, port);
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await attempt.next_layer().async_connect(endpoint, token);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return Error{"the module is stopping"};
    if (!error) {
      attempt.expires_never();
      attempt.set_options(unheard);
      co_return std::move(attempt);
    }
    why += (why.empty() ? "" : "; ") + why_not(endpoint, outcome(*attempt.connection_, error), limit);
  }
  co_return Error{why};
}

asio::awaitable<Result<void>> WebStream::tls_as_client(TlsContext context, const std::string& host, bool verify, Milliseconds limit) {
  auto& tls = connection_->tls.emplace(next_layer(), std::move(context));
  expect_server(tls.native_handle(), host, verify);
  expires_after(limit);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await tls.async_connect(token);
  co_return handshake_ended(error, limit);
}

asio::awaitable<Result<void>> WebStream::tls_as_server(TlsContext context, Milliseconds limit) {
  auto& tls = connection_->tls.emplace(next_layer(), std::move(context));
  expires_after(limit);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await tls.async_accept(token);
  co_return handshake_ended(error, limit);
}

Result<void> WebStream::handshake_ended(ErrorCode error, Milliseconds limit) {
  expires_never();
  if (!error) return {};
  if (connection_->has_expired) return Error{fmt::format("TLS: no answer within {} ms", limit.count())};
  return Error{"TLS: " + tls_failure(connection_->tls->native_handle(), error)};
}

std::string WebStream::peer() const {
  ErrorCode error;
  const auto endpoint = next_layer().remote_endpoint(error);
  return error ? std::string() : text_of_place(endpoint);
}

}  // namespace gorgone
