#include "core/net/web_socket.hpp"

#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/http/parser.hpp>

#include "core/net/tcp_received.hpp"

namespace gorgone {
namespace {

namespace websocket = boost::beast::websocket;
namespace http = boost::beast::http;

// One frame each: pings pass between them, and each must be taken within the stall limit.
constexpr std::size_t frame_bytes = 16 * 1024;
// While a pong is awaited. On a line that is worth a connection something moves in that time.
constexpr auto look_every = std::chrono::seconds(1);

}  // namespace

std::shared_ptr<WebSocket> WebSocket::make(WebStream stream, const Limits& limits) {
  return std::make_shared<net::BeastWebSocket>(std::move(stream), limits);
}

namespace net {

BeastWebSocket::BeastWebSocket(WebStream stream, const Limits& limits)
    : limits_(limits),
      peer_(stream.peer()),
      stall_(stream.get_executor()),
      probe_(stream.get_executor()),
      silence_(stream.get_executor()),
      stream_(WebSocketStream(std::move(stream))) {
  stream_.next_layer().expires_never();
  // Of silence Beast would know too little: on a slow line an answer waits behind a message.
  stream_.set_option(websocket::stream_base::timeout{limits.greeting, websocket::stream_base::none(), false});
  stream_.read_message_max(limits.message_bytes);
  stream_.auto_fragment(false);
  stream_.text(true);
}

asio::awaitable<Result<void>> BeastWebSocket::accept(const Upgrade& request) {
  const auto self = shared_from_this();
  auto decorate = [](websocket::response_type& response) { response.set(http::field::server, "gorgoned"); };
  stream_.set_option(websocket::stream_base::decorator(std::move(decorate)));
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream_.async_accept(request, token);
  if (error) co_return Error{"WebSocket: " + error.message()};
  opened();
  co_return Result<void>{};
}

asio::awaitable<Result<void>> BeastWebSocket::greet(const std::string& host, const std::string& path, const Headers& headers) {
  const auto self = shared_from_this();
  auto decorate = [headers](websocket::request_type& request) {
    for (const auto& [name, value] : headers) request.set(name, value);
  };
  stream_.set_option(websocket::stream_base::decorator(std::move(decorate)));
  stream_.next_layer().take_any_text();
  websocket::response_type response;
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream_.async_handshake(response, host, path, token);
  if (!error) {
    opened();
    co_return Result<void>{};
  }
  if (error == websocket::error::upgrade_declined && response.result_int() != 101)
    co_return Error{fmt::format("HTTP status {} {}", response.result_int(), printable(std::string(response.reason())))};
  if (error == boost::beast::error::timeout)
    co_return Error{fmt::format("no answer to the WebSocket's request within {} ms", limits_.greeting.count())};
  if (error == http::error::end_of_stream) co_return Error{"the connection was closed in place of an answer to the WebSocket's request"};
  co_return Error{"no WebSocket: " + error.message()};
}

void BeastWebSocket::opened() {
  open_ = true;
  stream_.control_callback([this](websocket::frame_type, boost::beast::string_view) { heard(); });
  heard();
  look_after(limits_.silence / 2);
}

asio::awaitable<Result<std::string>> BeastWebSocket::read() {
  const auto self = shared_from_this();
  std::string text;
  auto buffer = asio::dynamic_buffer(text);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  // Piece by piece, and none once the stream is being closed: that reads as well, and where it has read the end of a message Beast fails to
  // say how much there is left of it.
  while (open_) {
    co_await stream_.async_read_some(buffer, 0, token);
    if (error) break;
    heard();
    if (stream_.is_message_done()) co_return text;
  }
  if (!error) co_return Error{why_, why_code_};
  finish(why_ended(error), error == asio::error::timed_out ? down::mute : "");
  co_return Error{why_, why_code_};
}

std::string BeastWebSocket::why_ended(const ErrorCode& error) const {
  if (error == websocket::error::closed) {
    const auto& reason = stream_.reason();
    const auto text = printable(std::string_view(reason.reason.data(), reason.reason.size()));
    return fmt::format("the other side closed the WebSocket (status {}{}{})", static_cast<unsigned>(reason.code), text.empty() ? "" : ": ",
                       text);
  }
  if (error == websocket::error::message_too_big) return "a message was larger than is taken";
  if (error == websocket::error::bad_frame_payload) return "a message was no UTF-8";
  if (error == asio::error::timed_out) return "the system gave the connection up: nothing was taken on the other side";
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) return "the connection was closed";
  return error.message();
}

bool BeastWebSocket::send(std::string text) {
  if (!open_ || ending_) return false;
  if (unsent_ > 0 && unsent_ + text.size() > limits_.unsent_bytes) {
    refused_ = true;
    return false;
  }
  push(std::move(text));
  return true;
}

void BeastWebSocket::push(std::string text) {
  unsent_ += text.size();
  given_ += text.size();
  queue_.push_back(std::move(text));
  if (!writing_) write_next();
}

// Writes a frame of the first message in the queue.
void BeastWebSocket::write_next() {
  if (!open_) return;
  if (queue_.empty()) {
    if (ending_) close_now();
    return;
  }
  const auto& text = queue_.front();
  const auto size = std::min(frame_bytes, text.size() - written_);
  const bool is_last = written_ + size == text.size();
  writing_ = true;
  auto self = shared_from_this();
  stall_.expires_after(limits_.stall);
  stall_.async_wait([self, number = ++frames_](const ErrorCode& error) {
    if (!error && self->writing_ && self->frames_ == number)
      self->cut(fmt::format("it takes nothing: {} bytes were not read within {} ms", self->unsent_, self->limits_.stall.count()));
  });
  const auto bytes = asio::buffer(text.data() + written_, size);
  stream_.async_write_some(is_last, bytes, [self, size, is_last](const ErrorCode& error, std::size_t) {
    self->writing_ = false;
    self->stall_.cancel();
    if (error) return self->finish(self->why_ended(error));
    self->written_ += size;
    if (is_last) {
      self->unsent_ -= self->queue_.front().size();
      self->queue_.pop_front();
      self->written_ = 0;
    }
    self->tell_room();
    self->write_next();
  });
}

int BeastWebSocket::descriptor() const { return const_cast<BeastWebSocket*>(this)->stream_.next_layer().next_layer().native_handle(); }

LinkFlow BeastWebSocket::flow() const { return {given_, given_ - (unsent_ - written_), bytes_moved(descriptor()).received}; }

// In bytes of the connection: a ping goes behind what the system has, and behind the frame that is being written.
LinkFlow BeastWebSocket::in_system() const {
  const auto moved = bytes_moved(descriptor());
  return {bytes_written(descriptor()).value_or(0) + (writing_ ? frame_bytes : 0), moved.acknowledged + moved.beyond, moved.received};
}

void BeastWebSocket::tell_room() {
  if (!refused_ || unsent_ > limits_.unsent_bytes / 2 || ending_) return;
  refused_ = false;
  const auto call = on_room_;
  if (call) call();
}

void BeastWebSocket::end(std::string last, unsigned code, const std::string& reason) {
  if (!open_ || ending_) return;
  ending_ = true;
  // What is written of a reason must fit a control frame.
  close_reason_ = websocket::close_reason(static_cast<websocket::close_code>(code), reason.substr(0, 100));
  if (!last.empty()) return push(std::move(last));
  if (!writing_) write_next();
}

void BeastWebSocket::close_now() {
  auto self = shared_from_this();
  open_ = false;
  on_room_ = {};
  // Beast watches over the close only from where it writes its own word.
  silence_.expires_after(limits_.greeting);
  silence_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
    const auto alive = weak.lock();
    if (!error && alive) alive->stream_.next_layer().close();
  });
  if (why_.empty()) why_ = fmt::format("closed: {}", std::string_view(close_reason_.reason.data(), close_reason_.reason.size()));
  stream_.async_close(close_reason_, [self](const ErrorCode&) {
    self->silence_.cancel();
    self->stream_.next_layer().close();
  });
}

void BeastWebSocket::cut(const std::string& why) {
  finish(why);
  stream_.next_layer().close();
}

void BeastWebSocket::finish(const std::string& why, const std::string& code) {
  open_ = false;
  on_room_ = {};  // may be a module's code, which may go before the last operation ends
  if (why_.empty()) {
    why_ = why;
    why_code_ = code;
  }
  stall_.cancel();
  silence_.cancel();
  if (probe_done_) end_probe(false);
}

void BeastWebSocket::heard() {
  heard_at_ = Clock::now();
  asked_ = false;
  if (probe_done_) end_probe(true);
}

void BeastWebSocket::look_after(std::chrono::milliseconds wait) {
  silence_.expires_after(wait);
  // Who lets go of it ends it: whoever reads or writes keeps it.
  silence_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
    const auto alive = weak.lock();
    if (!error && alive && alive->open_) alive->look();
  });
}

// Half of the limit after something was heard a ping is sent, and after all of it the connection is given up: only where what goes before
// the ping has not moved since the last look, for a path that lost packets moves a little and then waits.
void BeastWebSocket::look() {
  const auto half = limits_.silence / 2;
  const auto silent = std::chrono::floor<std::chrono::milliseconds>(Clock::now() - heard_at_);
  if (!asked_) {
    if (silent < half) return look_after(half - silent);
    asked_ = true;
    watch_.ask(in_system());
    ping();
  } else if (!watch_.moves(in_system()) && silent >= limits_.silence) {
    finish(fmt::format("nothing was heard for {} ms", limits_.silence.count()), down::mute);
    // By a reset: an ordinary end would wait behind what the system has, until it tries again, and the other side comes back no sooner.
    const linger at_once{1, 0};
    ::setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    stream_.next_layer().close();
    return;
  }
  const auto looks = 1 + half / look_every;
  look_after(std::chrono::ceil<std::chrono::milliseconds>(half) / looks + std::chrono::milliseconds(1));
}

void BeastWebSocket::probe(std::chrono::milliseconds limit, std::function<void(bool)> done) {
  if (!open_ || probe_done_) {
    asio::post(stream_.get_executor(), [done = std::move(done)] { done(false); });
    return;
  }
  probe_done_ = std::move(done);
  auto self = shared_from_this();
  probe_.expires_after(limit);
  probe_.async_wait([self](const ErrorCode& error) {
    if (!error && self->probe_done_) self->end_probe(false);
  });
  ping();
}

void BeastWebSocket::ping() {
  // An earlier one may still wait for a frame to be written, and serves as well: the stream has room for a single ping that waits.
  if (std::exchange(pinging_, true)) return;
  auto self = shared_from_this();
  stream_.async_ping({}, [self](const ErrorCode&) { self->pinging_ = false; });
}

void BeastWebSocket::end_probe(bool answered) {
  probe_.cancel();
  // Not from within a call of whoever asked.
  asio::post(stream_.get_executor(), [done = std::exchange(probe_done_, {}), answered] { done(answered); });
}

}  // namespace net
}  // namespace gorgone
