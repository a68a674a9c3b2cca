#pragma once
// Deployed centrals send text that is no UTF-8 (an é of the API's as the byte E9), for which a WebSocket's client must end the connection
// and lose what was on the way. Beast looks at text alone: so text that a server sends is told to it as binary. Pure but for the stream.

#include <gorgone/web_stream.hpp>

#include <boost/asio/compose.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace gorgone::net {

/// Follows what a server says, from its answer to the opening request on, and makes text frames binary ones in place.
class TextAsBinary {
 public:
  void pass(char* bytes, std::size_t size);

 private:
  enum class Part : std::uint8_t { http, kind, length, long_length, payload };
  void on_length(std::uint8_t byte);
  Part part_ = Part::http;
  std::size_t line_ends_ = 0;  // of the four bytes at the end of a head, how many have come
  std::size_t length_bytes_ = 0;
  std::uint64_t left_ = 0;  // of the payload
};

/// The stream below a WebSocket.
class WebSocketStream : public WebStream {
 public:
  explicit WebSocketStream(WebStream stream) : WebStream(std::move(stream)) {}
  /// Before the opening request is sent.
  void take_any_text() { is_lenient_ = true; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    auto read = [this, buffers, begun = false](auto& self, boost::system::error_code error = {}, std::size_t size = 0) mutable {
      if (!std::exchange(begun, true)) {
        const Buffers into = buffers;  // `self` is moved with its own
        return WebStream::async_read_some(into, std::move(self));
      }
      if (is_lenient_) pass(buffers, size);
      self.complete(error, size);
    };
    return boost::asio::async_compose<Token, void(boost::system::error_code, std::size_t)>(std::move(read), token, next_layer());
  }

 private:
  template <class Buffers>
  void pass(const Buffers& buffers, std::size_t size) {
    for (auto at = boost::asio::buffer_sequence_begin(buffers); at != boost::asio::buffer_sequence_end(buffers) && size > 0; ++at) {
      const boost::asio::mutable_buffer buffer = *at;
      const auto count = std::min(size, buffer.size());
      text_.pass(static_cast<char*>(buffer.data()), count);
      size -= count;
    }
  }

  bool is_lenient_ = false;
  TextAsBinary text_;
};

template <class Handler>
void async_teardown(boost::beast::role_type role, WebSocketStream& stream, Handler&& handler) {
  gorgone::async_teardown(role, static_cast<WebStream&>(stream), std::forward<Handler>(handler));
}

}  // namespace gorgone::net
