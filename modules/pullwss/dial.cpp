#include "dial.hpp"

#include <gorgone/http_parser.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <gorgone/base64.hpp>
#include <gorgone/wss_text.hpp>

namespace gorgone::pullwss {
namespace {

namespace http = boost::beast::http;
using namespace std::chrono_literals;

// Short enough that a path which is back is used within seconds; what goes on over it may take longer.
constexpr auto connect_limit = 4000ms;
constexpr auto greeting_limit = 10000ms;
constexpr std::uint32_t head_limit = 16 * 1024;
constexpr std::uint16_t https_port = 443, http_port = 80;

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

std::string refusal_of_proxy(unsigned status, const std::string& reason, const HttpProxy& proxy) {
  if (status == 407)
    return proxy.credentials.empty() ? "status 407: it wants a user and a password, expected in the option proxy"
                                     : "status 407: it does not take the user and the password of the option proxy";
  return fmt::format("status {} {}: it does not lead to the central", status, printable(reason));
}

asio::awaitable<Result<void>> pass_proxy(WebStream& stream, const Options& options) {
  const auto goal = fmt::format("{}:{}", bracketed(options.address), options.port);
  http::request<http::empty_body> request(http::verb::connect, goal, 11);
  request.set(http::field::host, goal);
  const auto& credentials = options.proxy->credentials;
  if (!credentials.empty()) request.set(http::field::proxy_authorization, "Basic " + base64_encode(credentials));
  stream.expires_after(greeting_limit);
  boost::system::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_write(stream, request, token);
  boost::beast::flat_buffer buffer(head_limit);
  http::response_parser<http::empty_body> parser;
  parser.header_limit(head_limit);
  // The answer to CONNECT has no body: what follows is the central's.
  parser.skip(true);
  if (!error) co_await http::async_read_header(stream, buffer, parser, token);
  stream.expires_never();
  if (error == boost::beast::error::timeout) co_return Error{"no answer to CONNECT"};
  if (error) co_return Error{"no answer to CONNECT: " + error.message()};
  const auto status = parser.get().result_int();
  if (status / 100 == 2) co_return Result<void>{};
  co_return Error{refusal_of_proxy(status, std::string(parser.get().reason()), *options.proxy)};
}

std::string hint_for(const std::string& why) {
  if (why.find("certificate") != std::string::npos)
    return "; expected one for the address, from a CA of the system or of ssl_ca_file (tls_verify: false takes any)";
  if (why.find("status 401") != std::string::npos || why.find("status 403") != std::string::npos)
    return "; a web server before the central refuses it, expected one that passes the WebSocket on";
  if (why.find("status 404") != std::string::npos) return "; nothing is at this path, expected the path that leads to the central";
  return "";
}

}  // namespace

asio::awaitable<Result<std::shared_ptr<WebSocket>>> dial(asio::io_context& loop, const Options& options, TlsContext tls,
                                                         const std::string& secret) {
  const auto& host = options.proxy ? options.proxy->host : options.address;
  const auto port = options.proxy ? options.proxy->port : options.port;
  const auto at_proxy = options.proxy ? fmt::format("proxy {}:{}: ", bracketed(host), port) : std::string();

  auto stream = co_await WebStream::connect(loop, host, port, connect_limit, 6 * options.ping_timeout);
  if (!stream) co_return Error{at_proxy + stream.error().message};

  if (options.proxy) {
    auto passed = co_await pass_proxy(*stream, options);
    if (!passed) co_return Error{at_proxy + passed.error().message};
  }

  if (tls) {
    auto secured = co_await stream->tls_as_client(tls, options.address, options.verify, greeting_limit);
    if (!secured) co_return Error{secured.error().message + hint_for(secured.error().message)};
  }

  WebSocket::Limits limits;
  limits.message_bytes = options.max_message_size;
  limits.greeting = greeting_limit;
  limits.silence = options.ping_timeout;
  limits.stall = 3 * options.ping_timeout;
  auto socket = WebSocket::make(std::move(*stream), limits);
  const bool is_usual_port = options.port == (tls ? https_port : http_port);
  const auto name = is_usual_port ? bracketed(options.address) : fmt::format("{}:{}", bracketed(options.address), options.port);
  const WebSocket::Headers headers{{"Authorization", "Bearer " + options.token}, {"User-Agent", "gorgoned"}, {wss::secret_header, secret}};
  auto greeted = co_await socket->greet(name, options.path, headers);
  if (!greeted) co_return Error{greeted.error().message + hint_for(greeted.error().message)};
  co_return socket;
}

}  // namespace gorgone::pullwss
