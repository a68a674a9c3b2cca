#include "wss_session.hpp"

#include <gorgone/await_callback.hpp>
#include <gorgone/http_parser.hpp>
#include <gorgone/wss_text.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include "registration.hpp"

namespace gorgone::proxy {
namespace {

namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto greeting_limit = 10000ms;
constexpr auto probe_limit = 3000ms;
constexpr std::uint32_t head_limit = 16 * 1024;
constexpr std::size_t first_message_limit = 256 * 1024;

/// Their ids, empty where the message is no registration.
std::vector<std::string> ids_in(const Message& message) {
  const auto data = message.data.json();
  auto ids = data ? read_ids(**data) : Result<std::vector<std::string>>(data.error());
  return ids ? *ids : std::vector<std::string>();
}

/// The registration without the node that sends it, which needs none.
std::optional<Message> of_subnodes(const Message& message, const WssNode& node) {
  const auto data = message.data.json();
  const auto* nodes = data ? member(**data, "nodes") : nullptr;
  if (!nodes || !nodes->is_array()) return {};
  json::array others;
  for (const auto& entry : nodes->get_array()) {
    const auto id = text_of(member(entry, "id"));
    if (id && std::find(node.names.begin(), node.names.end(), *id) == node.names.end()) others.push_back(entry);
  }
  if (others.empty()) return {};
  return Message{message.action, message.token, {}, Payload(json::value(json::object{{"nodes", std::move(others)}})), {}};
}

}  // namespace

WssSession::WssSession(WssShared& shared) : shared_(shared) {
  ++shared_.sessions;
  greeting_ = shared_.greeting.insert(shared_.greeting.end(), this);
}

WssSession::~WssSession() {
  end_greeting();
  --shared_.sessions;
}

void WssSession::end_greeting() {
  if (greeting_) shared_.greeting.erase(*greeting_);
  greeting_.reset();
}

void WssSession::give_way() {
  end_greeting();
  if (socket_)
    socket_->cut("it gave way to another connection");
  else if (stream_)
    stream_->close();  // also where its TLS waits for its turn, and nothing is under way
}

std::string WssSession::who() const {
  return forwarded_for_.empty() ? peer_ : fmt::format("{} for {}", peer_, printable(forwarded_for_, 60));
}

// Whom lines about one who did not say which node it is are counted for.
std::string WssSession::host() const { return forwarded_for_.empty() ? peer_.substr(0, peer_.rfind(':')) : forwarded_for_; }

asio::awaitable<void> WssSession::run(asio::ip::tcp::socket connection) {
  // Every wait here tells by its error that it was cancelled.
  co_await asio::this_coro::throw_if_cancelled(false);
  // Silence is noticed by the WebSocket; the system ends what that does not see.
  WebStream stream(std::move(connection), 6 * shared_.options.silence_timeout);
  stream_ = &stream;
  peer_ = stream.peer();
  if (shared_.tls) {
    auto secured = co_await stream.tls_as_server(shared_.tls, greeting_limit);
    if (!secured) {
      if (greeting_ && shared_.may_log(host()))
        shared_.agent.log().info("httpserver: {} from {}", printable(secured.error().message), peer_);
      co_return;
    }
    if (!greeting_) co_return;
  }
  const bool is_open = co_await open_socket(stream);
  if (!is_open || !greeting_ || shared_.is_stopping) co_return;
  const auto place = shared_.sockets.insert(shared_.sockets.end(), socket_);
  auto node = co_await greet();
  end_greeting();
  if (node) {
    shared_.agent.log().info("link up: node '{}' has connected from {}", printable(node->id), who());
    node->attach(socket_, is_bound_);
    for (;;) {
      auto text = co_await socket_->read();
      if (text) {
        take(*node, *text);
        continue;
      }
      if (node->socket == socket_) shared_.agent.log().warning("link down: node '{}': {}", printable(node->id), text.error().message);
      node->detach(socket_, text.error());
      break;
    }
  }
  shared_.sockets.erase(place);
}

asio::awaitable<bool> WssSession::open_socket(WebStream& stream) {
  stream.expires_after(greeting_limit);
  boost::beast::flat_buffer buffer(head_limit);
  http::request_parser<http::empty_body> parser;
  parser.header_limit(head_limit);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_read_header(stream, buffer, parser, token);
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    co_await refuse_request(stream, 431, "the request's head is longer than 16384 bytes");
    co_return false;
  }
  if (error) co_return false;
  const auto request = parser.release();
  if (!boost::beast::websocket::is_upgrade(request)) {
    co_await refuse_request(stream, 426, "nodes connect here by a WebSocket");
    co_return false;
  }
  token_ = bearer_of(request[http::field::authorization]);
  forwarded_for_ = request["X-Forwarded-For"];
  const auto secret = request[wss::secret_header];
  secret_ = secret.empty() ? no_secret : wss::thumbprint_of_secret(secret);

  WebSocket::Limits limits;
  limits.message_bytes = first_message_limit;
  limits.unsent_bytes = shared_.options.max_unread_bytes;
  limits.greeting = greeting_limit;
  limits.silence = shared_.options.silence_timeout;
  limits.stall = 3 * shared_.options.silence_timeout;
  stream_ = nullptr;
  socket_ = WebSocket::make(std::move(stream), limits);
  auto accepted = co_await socket_->accept(request);
  co_return accepted.has_value();
}

asio::awaitable<void> WssSession::refuse_request(WebStream& stream, unsigned status, std::string_view message) {
  http::response<http::string_body> response(http::int_to_status(status), 11);
  response.set(http::field::content_type, "application/json");
  if (status == 426) response.set(http::field::upgrade, "websocket");
  response.keep_alive(false);
  response.body() = wss::write_refusal(message);
  response.prepare_payload();
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_write(stream, response, token);
}

void WssSession::refuse(const std::string& message, unsigned status) { socket_->end(wss::write_refusal(message), status, message); }

asio::awaitable<std::shared_ptr<WssNode>> WssSession::greet() {
  const std::shared_ptr<WssNode> none;
  auto text = co_await first_message();
  if (!text) co_return none;
  const auto message = wss::read_message(wss::decode_entities(std::move(*text)));
  const auto ids = message && message->action == "REGISTERNODES" ? ids_in(*message) : std::vector<std::string>();
  if (ids.empty()) {
    if (shared_.may_log(host())) shared_.agent.log().warning("httpserver: {} did not say which node it is", who());
    refuse("please registernodes");
    co_return none;
  }
  const auto& id = ids.front();
  auto node = shared_.nodes.find(id);
  if (!node) {
    const bool is_early = shared_.nodes.empty();
    if (shared_.may_log("unknown " + id))
      shared_.agent.log().warning("httpserver: {} says it is node '{}', {}", who(), printable(id),
                                  is_early ? "but no nodes of type wss are registered yet"
                                           : "which is not registered with type wss; expected it in the register file or in the database");
    if (is_early)
      refuse("no nodes are known yet, come back", wss_come_back_later);
    else
      refuse("node '" + id + "' is unknown");
    co_return none;
  }
  const auto verdict = co_await judge(*node);
  if (verdict == Verdict::refused) co_return none;
  const bool had_to_wait = node->is_connected();
  bool is_taken = co_await take_over(node, verdict);
  // Another may have come first meanwhile, and pinned a secret.
  if (is_taken && had_to_wait && verdict == Verdict::common) is_taken = co_await has_its_secret(node->id);
  // It may have been unregistered meanwhile.
  if (!is_taken || !node->link || !socket_->is_open()) co_return none;
  is_bound_ = is_bound_ || verdict == Verdict::own;
  bind(node->id);
  socket_->limit_messages(shared_.options.max_message_size);
  Answer answer;
  answer.token = message->token;
  socket_->send(wss::write_answer(answer));
  co_return node;
}

/// Nothing where none came in time, or the token is nobody's.
asio::awaitable<std::optional<std::string>> WssSession::first_message() {
  if (!shared_.access.is_known(token_) && !shared_.tokens.may_know(token_)) {
    if (shared_.may_log(host()))
      shared_.agent.log().warning("httpserver: {} has {}", who(), token_.empty() ? "no token" : "a token that nobody has");
    refuse("token authorization unallowed");
    co_return std::nullopt;
  }
  const std::weak_ptr<WebSocket> weak = socket_;
  asio::steady_timer limit(shared_.agent.loop(), greeting_limit);
  limit.async_wait([weak](const ErrorCode& error) {
    const auto socket = weak.lock();
    if (!error && socket) socket->end(wss::write_refusal("please registernodes"), 1008, "nothing was said");
  });
  auto text = co_await socket_->read();
  if (!text) co_return std::nullopt;
  co_return std::move(*text);
}

// A token that several nodes have does not say which of them this is: whoever speaks for the node already stays, if it is there.
asio::awaitable<bool> WssSession::take_over(const std::shared_ptr<WssNode>& node, Verdict verdict) {
  if (!node->is_connected()) co_return true;
  const auto other = node->socket;
  if (verdict == Verdict::common) {
    bool is_there = node->is_probed;
    if (!is_there) {
      node->is_probed = true;
      is_there = co_await says_it_is_there(other);
      node->is_probed = false;
    }
    if (is_there) {
      if (shared_.may_log("claim " + node->id))
        shared_.agent.log().error(
            "httpserver: {} says it is node '{}', which is connected from {}: refused; is an id used twice? A token of the node's own in "
            "httpserver.nodes decides who it is",
            who(), printable(node->id), other->peer());
      refuse("node '" + node->id + "' is connected already");
      co_return false;
    }
  }
  if (node->socket == other && other->is_open()) {
    shared_.agent.log().warning("httpserver: {} takes the place of {} as node '{}'{}", who(), other->peer(), printable(node->id),
                                verdict == Verdict::own ? ", by the node's own token" : ", which does not answer");
    other->cut("another connection of the node has taken its place");
  }
  co_return true;
}

asio::awaitable<bool> WssSession::says_it_is_there(std::shared_ptr<WebSocket> other) {
  auto start = [this, other](auto done) { other->probe(probe_limit, [done, owed = shared_.owed](bool answered) { done(answered); }); };
  const auto answered = co_await await_callback_for<bool>(2 * probe_limit, std::move(start));
  co_return answered.value_or(false);
}

void WssSession::take(WssNode& node, const std::string& text) {
  auto message = wss::read_message(wss::decode_entities(text));
  if (!message) {
    if (shared_.may_log("text " + node.id))
      shared_.agent.log().warning("node '{}' sent what is no message: {}", printable(node.id), printable(text));
    return;
  }
  if (message->action == "REGISTERNODES" || message->action == "UNREGISTERNODES") {
    Answer answer;
    answer.token = message->token;
    socket_->send(wss::write_answer(answer));
    if (auto others = of_subnodes(*message, node)) node.receive(std::move(*others));
    return;
  }
  // A node may ask whether its central is there; of its answers the proxy knows what to do with them, and it gives no orders.
  if (message->action != "PING") return node.receive(std::move(*message));
  message->target.clear();
  message->origin = Origin{Origin::Kind::client, "wss-" + node.id};
  const std::weak_ptr<WebSocket> weak = socket_;
  auto reply = [weak, owed = shared_.owed](const Answer& answer) {
    if (const auto socket = weak.lock()) socket->send(wss::write_answer(answer));
  };
  shared_.agent.submit(std::move(*message), std::move(reply));
}

}  // namespace gorgone::proxy
