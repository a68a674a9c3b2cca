#pragma once
// A TCP connection, plain or TLS, as one type: what HTTP and WebSockets are read from and written to. Made by connect() or from an
// accepted socket; lives on the loop. Limits on its operations are set by expires_after().

#include <gorgone/agent.hpp>
#include <gorgone/tls_stream.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/websocket/teardown.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace gorgone {

class GORGONE_API WebStream {
 public:
  using Socket = asio::ip::tcp::socket;
  using next_layer_type = Socket;
  using executor_type = Socket::executor_type;
  using ErrorCode = boost::system::error_code;

  /// Sends without delay; the system gives the connection up where the peer takes nothing for `unheard`.
  WebStream(Socket socket, std::chrono::milliseconds unheard);

  WebStream(WebStream&&) = default;
  ~WebStream();

  /// Looks the name up and tries its addresses in turn, each for `limit`. An Error says what failed: the name, "refused", no answer.
  static asio::awaitable<Result<WebStream>> connect(asio::io_context& loop, const std::string& host, std::uint16_t port,
                                                    std::chrono::milliseconds limit, std::chrono::milliseconds unheard);

  /// The handshakes of TLS; from then on all goes through it. The context is kept.
  asio::awaitable<Result<void>> tls_as_client(TlsContext context, const std::string& host, bool verify, std::chrono::milliseconds limit);
  asio::awaitable<Result<void>> tls_as_server(TlsContext context, std::chrono::milliseconds limit);

  /// The connection is closed after this, and what is under way ends with beast::error::timeout.
  void expires_after(std::chrono::milliseconds limit);
  void expires_never();
  /// "192.0.2.7:40123", empty where the connection has ended.
  std::string peer() const;
  void close();

  executor_type get_executor() { return connection_->socket.get_executor(); }
  Socket& next_layer() { return connection_->socket; }
  const Socket& next_layer() const { return connection_->socket; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return run([buffers](auto& stream, auto handler) { stream.async_read_some(buffers, std::move(handler)); }, token);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return run([buffers](auto& stream, auto handler) { stream.async_write_some(buffers, std::move(handler)); }, token);
  }

 private:
  struct Connection {
    explicit Connection(Socket from) : socket(std::move(from)), limit(socket.get_executor()) {}
    Socket socket;
    asio::steady_timer limit;
    bool has_expired = false;
    std::optional<TlsStream> tls;
  };

  template <class Call, class Token>
  auto run(Call call, Token& token) {
    // The stream itself may be moved meanwhile.
    auto body = [connection = connection_, call, begun = false](auto& self, ErrorCode error = {}, std::size_t size = 0) mutable {
      if (std::exchange(begun, true)) return self.complete(outcome(*connection, error), size);
      const auto held = connection;  // `self` is moved with its own, and with the call
      const auto begin = call;
      if (held->tls)
        begin(*held->tls, std::move(self));
      else
        begin(held->socket, std::move(self));
    };
    return asio::async_compose<Token, void(ErrorCode, std::size_t)>(std::move(body), token, connection_->socket);
  }
  static ErrorCode outcome(const Connection& connection, ErrorCode error) {
    return error && connection.has_expired ? ErrorCode(boost::beast::error::timeout) : error;
  }
  explicit WebStream(Socket socket);
  void set_options(std::chrono::milliseconds unheard);
  Result<void> handshake_ended(ErrorCode error, std::chrono::milliseconds limit);

  std::shared_ptr<Connection> connection_;
};

// How a WebSocket ends its stream. Both sides have said that they close by then, so TLS needs no farewell of its own.
template <class Handler>
void async_teardown(boost::beast::role_type role, WebStream& stream, Handler&& handler) {
  boost::beast::websocket::async_teardown(role, stream.next_layer(), std::forward<Handler>(handler));
}

}  // namespace gorgone
