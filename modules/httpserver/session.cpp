#include "session.hpp"

#include <gorgone/http_parser.hpp>
#include <gorgone/log.hpp>
#include <gorgone/tls_stream.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <optional>

namespace gorgone::httpserver {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Socket = asio::ip::tcp::socket;
using Request = http::request_parser<http::string_body>;
using ErrorCode = boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto farewell_limit = 1s;
constexpr auto farewell_limit_stopping = 100ms;
constexpr std::size_t farewell_bytes = 1 << 20;
constexpr std::size_t slowest_client = 64 * 1024;  // bytes in a second, for the time a long answer may take

Socket& socket_of(Socket& stream) { return stream; }
Socket& socket_of(TlsStream& stream) { return stream.next_layer(); }

/// All of an answer but its body.
http::response<http::string_body> head_of(const HttpAnswer& answer, unsigned version, bool keep_alive) {
  http::response<http::string_body> response;
  response.version(version);
  response.result(answer.status);
  if (answer.status != 204) response.set(http::field::content_type, "application/json");
  if (answer.status == 401) response.set(http::field::www_authenticate, "Basic realm=\"gorgone\", charset=\"UTF-8\"");
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  if (answer.status == 503) response.set(http::field::retry_after, "1");
  if (answer.status == 429)
    response.set(http::field::retry_after, std::to_string(std::chrono::ceil<std::chrono::seconds>(Guesses::longest_delay).count()));
  response.keep_alive(keep_alive);
  if (answer.status != 204) response.content_length(answer.body.size());
  return response;
}

/// A connection, over either kind of stream.
template <class Stream>
class Session {
 public:
  Session(Shared& shared, Stream& stream, asio::ip::address client)
      : shared_(shared), stream_(stream), client_(std::move(client)), deadline_(socket_of(stream)), on_stop_(shared.stopping, [this] {
          if (is_reading_) deadline_.expire();
        }) {}

  asio::awaitable<void> run();
  /// Takes what the client still sends, for a while: closing at once would make its system throw away our last answer.
  asio::awaitable<void> say_farewell();
  /// Nothing is known of what it wants: while that is so, its place may be needed for another.
  void await_request();

  Deadline& deadline() { return deadline_; }
  bool has_given_way() const { return has_given_way_; }

 private:
  /// False where the connection is to be closed without a word.
  asio::awaitable<bool> read_head(Request& request);
  asio::awaitable<HttpAnswer> handle(Request& request);
  /// An answer where the request may not be served.
  asio::awaitable<std::optional<HttpAnswer>> check_access(const Request& request);
  asio::awaitable<ErrorCode> read_body(Request& request);
  asio::awaitable<bool> write(const Request& request, HttpAnswer answer, bool keep_alive);
  std::optional<HttpAnswer> refuse_broken(const ErrorCode& error) const;
  HttpAnswer no_room(const char* what);

  Shared& shared_;
  Stream& stream_;
  const asio::ip::address client_;
  beast::flat_buffer buffer_;
  ErrorCode head_error_;
  bool is_reading_ = false;
  bool is_known_ = false;  // has shown the right password
  std::optional<Undecided::Entry> without_request_;
  bool has_given_way_ = false;
  Deadline deadline_;
  Stopping::Hook on_stop_;
  Budget::Share memory_{shared_.budget};
};

template <class Stream>
asio::awaitable<void> Session<Stream>::run() {
  for (;;) {
    Request request;
    request.header_limit(shared_.options.header_limit);
    request.body_limit(shared_.options.body_limit);

    // Wait for a request, read what it is.
    const bool has_head = co_await read_head(request);
    if (!has_head) co_return;

    // Do it; a request that was not read to its end cannot be followed by another.
    auto answer = co_await handle(request);
    request.get().body() = std::string();
    // What was done must not be asked for again because of its answer; reading is.
    const bool has_room = memory_.hold(answer.body.size()) || request.get().method() != http::verb::get;
    if (!has_room) answer = no_room("the answer");
    const bool cancelled = co_await is_cancelled();
    if (cancelled) co_return;
    shared_.agent.log().debug("{} '{}': {} (client={})", printable(request.get().method_string()), printable(request.get().target()),
                              answer.status, client_.to_string());
    const bool keep_alive = request.is_done() && request.keep_alive() && !shared_.stopping.asked() && answer.status != 429;

    const bool written = co_await write(request, std::move(answer), keep_alive);
    memory_.hold(0);
    if (!written || !keep_alive) co_return;
  }
}

template <class Stream>
void Session<Stream>::await_request() {
  if (is_known_ || without_request_) return;
  without_request_.emplace(shared_.without_request, [this] {
    has_given_way_ = true;
    deadline_.expire();
  });
}

template <class Stream>
asio::awaitable<bool> Session<Stream>::read_head(Request& request) {
  if (shared_.stopping.asked()) co_return false;
  await_request();
  ErrorCode error;
  is_reading_ = true;
  if (buffer_.size() == 0) {
    deadline_.set(shared_.options.idle_timeout);
    auto space = buffer_.prepare(4096);
    const auto size = co_await stream_.async_read_some(space, asio::redirect_error(asio::use_awaitable, error));
    buffer_.commit(size);
  }
  if (!error) {
    deadline_.set(shared_.options.request_timeout);
    co_await http::async_read_header(stream_, buffer_, request, asio::redirect_error(asio::use_awaitable, error));
  }
  is_reading_ = false;
  without_request_.reset();
  head_error_ = error;
  if (!error) co_return true;
  // Only a client that has begun to speak HTTP is told what is wrong.
  const bool cancelled = co_await is_cancelled();
  const bool has_begun = request.got_some() || buffer_.size() > 0;
  co_return !cancelled && !shared_.stopping.asked() && !has_given_way_ && has_begun && refuse_broken(error).has_value();
}

template <class Stream>
asio::awaitable<HttpAnswer> Session<Stream>::handle(Request& request) {
  if (head_error_) co_return *refuse_broken(head_error_);

  // A stranger's body is not even read.
  auto refused = co_await check_access(request);
  if (refused) co_return std::move(*refused);

  auto error = co_await read_body(request);
  if (error == asio::error::no_buffer_space) {
    request.get().body() = std::string();
    co_return no_room("the request's body");
  }
  if (error) co_return refuse_broken(error).value_or(bad_request("bad_request", "the request's body did not arrive"));

  const auto& message = request.get();
  try {
    auto answer = co_await shared_.api.answer(message.method_string(), message.target(), message.body());
    co_return answer;
  } catch (const std::exception& bug) {
    shared_.agent.log().error("a request failed: {} '{}': {}", printable(message.method_string()), printable(message.target()), bug.what());
  }
  co_return refusal(500, "http_error_500", "the request failed, the daemon's log says why");
}

template <class Stream>
asio::awaitable<std::optional<HttpAnswer>> Session<Stream>::check_access(const Request& request) {
  const auto& options = shared_.options;
  if (!options.credentials) co_return std::nullopt;

  const auto header = request.get()[http::field::authorization];
  // A client that has shown the right password before learns nothing by being served.
  if (!header.empty() && !is_known_ && shared_.guesses.are_many(client_)) {
    shared_.refused(client_, "too many wrong passwords of this address wait for their answer");
    co_return too_many_guesses();
  }
  is_known_ = options.credentials->accept(header);
  if (is_known_) {
    shared_.guesses.succeeded(client_);
    co_return std::nullopt;
  }
  // Clients ask without a password first, to see whether one is wanted: that is no guess.
  if (!header.empty()) {
    const auto delay = shared_.guesses.failed(client_, Clock::now());
    shared_.refused(client_, "wrong user or password", fmt::format(" delay_ms={}", delay.count()));
    deadline_.clear();
    // To its end, also where the client has gone: one that does not wait for its answer may not ask the more often.
    Guesses::Delayed delayed(shared_.guesses, client_);
    Event pause(shared_.agent.loop(), shared_.stopping);
    co_await pause.wait_until(Clock::now() + delay);
  }
  co_return unauthorized();
}

template <class Stream>
asio::awaitable<ErrorCode> Session<Stream>::read_body(Request& request) {
  ErrorCode error;
  is_reading_ = true;
  if (!request.is_done()) {
    if (beast::iequals(request.get()[http::field::expect], "100-continue")) {
      const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      const auto bytes = asio::buffer(go_on);
      co_await asio::async_write(stream_, bytes, asio::redirect_error(asio::use_awaitable, error));
    }
    while (!error && !request.is_done()) {
      co_await http::async_read_some(stream_, buffer_, request, asio::redirect_error(asio::use_awaitable, error));
      if (!error && !memory_.hold(request.get().body().size())) error = asio::error::no_buffer_space;
    }
  }
  is_reading_ = false;
  if (!error) deadline_.clear();
  co_return error;
}

template <class Stream>
asio::awaitable<bool> Session<Stream>::write(const Request& request, HttpAnswer answer, bool keep_alive) {
  auto response = head_of(answer, request.get().version() == 10 ? 10 : 11, keep_alive);
  deadline_.set(shared_.options.request_timeout + std::chrono::seconds(answer.body.size() / slowest_client));
  if (request.get().method() != http::verb::head) response.body() = std::move(answer.body);

  ErrorCode error;
  co_await http::async_write(stream_, response, asio::redirect_error(asio::use_awaitable, error));
  deadline_.clear();
  co_return !error;
}

/// Nothing where the client has gone or has said nothing in time: nobody is there to be told.
template <class Stream>
std::optional<HttpAnswer> Session<Stream>::refuse_broken(const ErrorCode& error) const {
  if (shared_.stopping.asked()) return refusal(503, "stopping", "the daemon's HTTP server is stopping");
  if (deadline_.has_expired()) {
    const auto seconds = shared_.options.request_timeout.count();
    return refusal(408, "http_error_408", fmt::format("the request did not arrive within {} seconds", seconds));
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return refusal(431, "http_error_431", fmt::format("the request's head is longer than {} bytes", shared_.options.header_limit));
  if (error == http::error::body_limit)
    return refusal(413, "http_error_413", fmt::format("the request's body is longer than {} bytes", shared_.options.body_limit));
  if (error == http::error::end_of_stream || error == http::error::partial_message) return {};
  if (error.category() == make_error_code(http::error::bad_method).category())
    return bad_request("bad_request", "this is no HTTP request: " + error.message());
  return {};
}

template <class Stream>
HttpAnswer Session<Stream>::no_room(const char* what) {
  memory_.hold(0);
  shared_.refused(client_, fmt::format("no room for {}, all connections hold {} bytes (max_held_bytes)", what, shared_.budget.held()));
  return refusal(503, "busy",
                 fmt::format("there is no room for {} now: all connections together hold what they may (max_held_bytes)", what));
}

template <class Stream>
asio::awaitable<void> Session<Stream>::say_farewell() {
  if (has_given_way_) co_return;
  auto& socket = socket_of(stream_);
  ErrorCode error;
  socket.shutdown(Socket::shutdown_send, error);
  deadline_.set(shared_.stopping.asked() ? Clock::duration(farewell_limit_stopping) : Clock::duration(farewell_limit));
  is_reading_ = true;
  std::array<char, 4096> rest;
  for (std::size_t taken = 0; !error && taken < farewell_bytes;) {
    const auto space = asio::buffer(rest);
    taken += co_await socket.async_read_some(space, asio::redirect_error(asio::use_awaitable, error));
  }
}

asio::awaitable<void> run_tls(Shared& shared, Socket& socket, asio::ip::address client) {
  TlsStream stream(socket, shared.tls);
  const auto peer = client;
  Session session(shared, stream, std::move(client));
  ErrorCode error;
  session.await_request();
  // While it waits for its turn nothing can be cancelled: what follows must fail.
  session.deadline().set(shared.options.request_timeout, Deadline::AtLimit::shut_down);
  co_await stream.async_accept(asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    const bool cancelled = co_await is_cancelled();
    if (cancelled || shared.stopping.asked() || session.has_given_way()) co_return;
    const bool has_gone =
        error == asio::error::eof || error == asio::error::connection_reset || error == asio::ssl::error::stream_truncated;
    if (session.deadline().has_expired())
      shared.refused(peer, fmt::format("no TLS handshake came to its end within {} s", shared.options.request_timeout.count()));
    else if (has_gone)
      shared.agent.log().debug("a client went away during the TLS handshake (client={})", peer.to_string());
    else
      shared.refused(peer, fmt::format("the TLS handshake failed: {}, expected TLS 1.2 or later", printable(error.message())));
    co_return;
  }
  co_await session.run();
  const bool cancelled = co_await is_cancelled();
  if (cancelled || session.has_given_way()) co_return;
  session.deadline().set(farewell_limit);
  co_await stream.async_shutdown(asio::redirect_error(asio::use_awaitable, error));
  co_await session.say_farewell();
}

}  // namespace

void Shared::refused(const asio::ip::address& client, const std::string& why, const std::string& pairs) {
  const auto line = told.refused(client, Clock::now());
  if (line.silent > 0) agent.log().warning("{} more requests were refused since the last line that told of one", line.silent);
  if (line.is_told) agent.log().warning("a request was refused: {} (client={}{})", why, client.to_string(), pairs);
}

asio::awaitable<void> run_session(Shared& shared, Socket socket) {
  // Every wait here tells by its error that it was cancelled.
  co_await asio::this_coro::throw_if_cancelled(false);
  ErrorCode error;
  const auto peer = socket.remote_endpoint(error);
  if (error) co_return;
  socket.set_option(asio::ip::tcp::no_delay(true), error);
  socket.set_option(asio::socket_base::keep_alive(true), error);
  if (shared.tls) {
    co_await run_tls(shared, socket, peer.address());
    co_return;
  }
  Session session(shared, socket, peer.address());
  co_await session.run();
  const bool cancelled = co_await is_cancelled();
  if (!cancelled) co_await session.say_farewell();
}

asio::awaitable<void> refuse_session(Shared& shared, Socket socket, HttpAnswer answer) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (shared.tls) co_return;
  auto response = head_of(answer, 11, false);
  response.body() = std::move(answer.body);
  ErrorCode error;
  co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, error));
  Session session(shared, socket, {});
  if (!error) co_await session.say_farewell();
}

}  // namespace gorgone::httpserver
