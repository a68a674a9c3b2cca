#pragma once
// TLS over a TCP socket. OpenSSL reads and writes the socket itself, when that is ready, and gives its buffers back when they are empty, so
// an idle connection holds little; Asio's own stream keeps four buffers of 17 kB for each. On the loop; at a time one operation that reads
// and one that writes.

#include <gorgone/tls.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

namespace gorgone {

/// Calls `work` on the loop, never from inside this call, after those that came before and what is ready now. For TLS handshakes of whoever
/// connects: each takes the loop milliseconds to sign, and how many come at once is for strangers to say.
GORGONE_API void in_tls_turn(boost::asio::execution_context& loop, std::function<void()> work);

/// The operations complete with `void(error_code, std::size_t)`. Who closes or shuts down the socket ends what is under way.
class GORGONE_API TlsStream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using next_layer_type = Socket;
  using executor_type = Socket::executor_type;
  using ErrorCode = boost::system::error_code;

  /// `socket` is connected, and outlives this.
  TlsStream(Socket& socket, TlsContext context);
  TlsStream(const TlsStream&) = delete;

  Socket& next_layer() { return socket_; }
  const Socket& next_layer() const { return socket_; }
  executor_type get_executor() { return socket_.get_executor(); }
  SSL* native_handle() { return connection_.get(); }

  template <class Token>
  auto async_connect(Token&& token) {
    return run<false>([this] { return handshake(SSL_connect); }, token);
  }
  /// In turn with all other handshakes of clients. Between a turn and the next nothing is waited for, so who sends half of what is expected
  /// holds up nobody. Waiting for a turn cannot be cancelled: what follows it must fail.
  template <class Token>
  auto async_accept(Token&& token) {
    return run<true>([this] { return handshake(SSL_accept); }, token);
  }
  /// eof: the other side has said that it ends; ssl::error::stream_truncated: it ended without.
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return run<false>([this, buffers] { return read(first_of<boost::asio::mutable_buffer>(buffers)); }, token);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    auto write_one = [this, buffers] {
      // One record for the head of a frame and its content. Tried again it is the same bytes, as OpenSSL expects.
      const auto first = first_of<boost::asio::const_buffer>(buffers);
      if (first.size() >= record_bytes || first.size() == boost::asio::buffer_size(buffers)) return write(first);
      const auto record = room_for_record();
      return write({record.data(), boost::asio::buffer_copy(record, buffers)});
    };
    return run<false>(std::move(write_one), token);
  }
  /// Says that it ends and waits until the other side has.
  template <class Token>
  auto async_shutdown(Token&& token) {
    return run<false>([this] { return shutdown(); }, token);
  }

 private:
  static constexpr std::size_t record_bytes = 16 * 1024;

  /// What a call of OpenSSL has come to: an outcome, or what the socket must be ready for before the next.
  struct Step {
    enum { begin, reading, turn, writing, outcome } is = begin;
    ErrorCode error;
    std::size_t size = 0;
  };

  Step handshake(int (*call)(SSL*));
  Step read(boost::asio::mutable_buffer into);
  Step write(boost::asio::const_buffer from);
  Step shutdown();
  Step step_of(int returned);
  static boost::asio::mutable_buffer room_for_record();

  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    const auto end = boost::asio::buffer_sequence_end(buffers);
    for (auto at = boost::asio::buffer_sequence_begin(buffers); at != end; ++at) {
      const Buffer buffer(*at);
      if (buffer.size() > 0) return buffer;
    }
    return {};
  }

  template <bool in_turn, class Call, class Token>
  auto run(Call call, Token& token) {
    auto body = [this, call = std::move(call), step = Step()](auto& self, ErrorCode error = {}) mutable {
      if (error) return self.complete(error, 0);
      if (step.is == Step::outcome) return self.complete(step.error, step.size);
      if (in_turn && step.is == Step::reading) {
        step.is = Step::turn;
        auto held = std::make_shared<std::decay_t<decltype(self)>>(std::move(self));
        return in_tls_turn(get_executor().context(), [held] { (*held)(ErrorCode()); });
      }
      const bool is_first = step.is == Step::begin;
      step = call();
      if (step.is == Step::reading) return socket_.async_wait(Socket::wait_read, std::move(self));
      if (step.is == Step::writing) return socket_.async_wait(Socket::wait_write, std::move(self));
      // Nobody expects his handler inside the call that he began with.
      if (is_first) return boost::asio::post(get_executor(), std::move(self));
      self.complete(step.error, step.size);
    };
    return boost::asio::async_compose<Token, void(ErrorCode, std::size_t)>(std::move(body), token, socket_);
  }

  struct Free {
    void operator()(SSL* connection) const { SSL_free(connection); }
  };

  Socket& socket_;
  const TlsContext context_;
  std::unique_ptr<SSL, Free> connection_;
};

}  // namespace gorgone
