#pragma once
// A TCP connection, plain or TLS, as one type: what HTTP and WebSockets are read from and written to. Made by connect() or from an
// accepted socket; lives on the loop. Its operations are Beast's; limits on them are set by expires_after().

#include <gorgone/agent.hpp>
#include <gorgone/tls.hpp>
#include <gorgone/tls_in_turn.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket/teardown.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace gorgone {

class GORGONE_API WebStream {
 public:
  using Tcp = boost::beast::tcp_stream;
  using executor_type = Tcp::executor_type;
  using Clock = std::chrono::steady_clock;

  /// Sends without delay; the system gives the connection up where the peer takes nothing for `unheard`.
  WebStream(asio::ip::tcp::socket socket, std::chrono::milliseconds unheard);

  /// Looks the name up and tries its addresses in turn, each for `limit`. An Error says what failed: the name, "refused", no answer.
  static asio::awaitable<Result<WebStream>> connect(asio::io_context& loop, const std::string& host, std::uint16_t port,
                                                    std::chrono::milliseconds limit, std::chrono::milliseconds unheard);

  /// The handshakes of TLS; from then on all goes through it. The context is kept.
  asio::awaitable<Result<void>> tls_as_client(TlsContext context, const std::string& host, bool verify, std::chrono::milliseconds limit);
  asio::awaitable<Result<void>> tls_as_server(TlsContext context, std::chrono::milliseconds limit);

  /// What is under way ends with beast::error::timeout after this.
  void expires_after(std::chrono::milliseconds limit) { tcp_->expires_after(limit); }
  void expires_never() { tcp_->expires_never(); }
  /// "192.0.2.7:40123", empty where the connection has ended.
  std::string peer() const;
  void close() { tcp_->close(); }

  executor_type get_executor() { return tcp_->get_executor(); }
  Tcp& next_layer() { return *tcp_; }
  const Tcp& next_layer() const { return *tcp_; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return tls_ ? tls_->async_read_some(buffers, std::forward<Token>(token)) : tcp_->async_read_some(buffers, std::forward<Token>(token));
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return tls_ ? tls_->async_write_some(buffers, std::forward<Token>(token)) : tcp_->async_write_some(buffers, std::forward<Token>(token));
  }

 private:
  using Tls = boost::beast::ssl_stream<TlsInTurn<Tcp>&>;
  void begin_tls(TlsContext context);
  asio::awaitable<Result<void>> handshake(asio::ssl::stream_base::handshake_type side, std::chrono::milliseconds limit);

  std::unique_ptr<Tcp> tcp_;
  TlsContext context_;
  std::unique_ptr<TlsInTurn<Tcp>> turns_;
  std::unique_ptr<Tls> tls_;
};

// How a WebSocket ends its stream. Both sides have said that they close by then, so TLS needs no farewell of its own.
template <class Handler>
void async_teardown(boost::beast::role_type role, WebStream& stream, Handler&& handler) {
  boost::beast::websocket::async_teardown(role, stream.next_layer().socket(), std::forward<Handler>(handler));
}

}  // namespace gorgone
