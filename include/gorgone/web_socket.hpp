#pragma once
// A WebSocket (RFC 6455) at either end: whole text messages in and out, pings, limits. On the loop. What waits to be sent is bounded, a
// peer that is silent or takes nothing is cut off. It lives on by itself while operations are under way, so it may be let go any time.

#include <gorgone/web_stream.hpp>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gorgone {

class GORGONE_API WebSocket {
 public:
  struct Limits {
    std::size_t message_bytes = std::size_t{64} << 20;  ///< the largest message that is taken
    std::size_t unsent_bytes = std::size_t{64} << 20;   ///< that may wait to be sent; a single larger message passes alone
    std::chrono::milliseconds greeting{10000};          ///< for the opening and the closing handshake
    std::chrono::milliseconds silence{
        10000};  ///< a peer is pinged after half of it, and gone after all of it unless what goes before the ping still moves
    std::chrono::milliseconds stall{30000};  ///< for a peer to take 16 KiB
  };
  using Upgrade = boost::beast::http::request<boost::beast::http::empty_body>;
  using Headers = std::vector<std::pair<std::string, std::string>>;

  static std::shared_ptr<WebSocket> make(WebStream stream, const Limits& limits);
  virtual ~WebSocket() = default;

  /// The server's side of the opening handshake, answering `request`.
  virtual asio::awaitable<Result<void>> accept(const Upgrade& request) = 0;
  /// The client's side. An Error says what the server answered in place of a WebSocket: "HTTP status 401 Unauthorized".
  virtual asio::awaitable<Result<void>> greet(const std::string& host, const std::string& path, const Headers& headers) = 0;

  /// The next message. An Error is why there is none any more; one reader at a time.
  virtual asio::awaitable<Result<std::string>> read() = 0;
  /// Queues a message, which must be UTF-8. False where too much waits already (then on_room comes later) or the connection has ended.
  virtual bool send(std::string text) = 0;
  /// Called when half of what may wait has been sent after a send() was refused.
  virtual void on_room(std::function<void()> call) = 0;

  /// Says `last` after all that waits, then closes with a status code of RFC 6455 (1000 normal, 1008 refused, 1013 come back later).
  virtual void end(std::string last, unsigned code, const std::string& reason) = 0;
  /// Closes the connection at once; a read() under way gets `why`.
  virtual void cut(const std::string& why) = 0;
  virtual bool is_open() const = 0;

  /// Pings the peer; `done` hears whether it said anything within `limit`.
  virtual void probe(std::chrono::milliseconds limit, std::function<void(bool)> done) = 0;
  virtual void limit_messages(std::size_t bytes) = 0;
  virtual const std::string& peer() const = 0;  ///< its address and port
};

}  // namespace gorgone
