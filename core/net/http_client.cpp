#include <gorgone/http_parser.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <gorgone/http_client.hpp>

namespace gorgone {

namespace http = boost::beast::http;

asio::awaitable<Result<HttpAnswer>> http_exchange(WebStream& stream, HttpRequest request) {
  http::request<http::string_body> message(request.is_post ? http::verb::post : http::verb::get, request.target, 11);
  for (const auto& [name, value] : request.headers) message.set(name, value);
  message.keep_alive(false);
  message.body() = std::move(request.body);
  message.prepare_payload();

  stream.expires_after(request.limit);
  boost::system::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_write(stream, message, token);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(request.answer_max);
  if (!error) co_await http::async_read(stream, buffer, parser, token);
  if (error == boost::beast::error::timeout) co_return Error{fmt::format("no answer within {} ms", request.limit.count())};
  if (error) co_return Error{"no answer: " + error.message()};
  HttpAnswer answer;
  answer.status = parser.get().result_int();
  answer.body = std::move(parser.get().body());
  co_return answer;
}

}  // namespace gorgone
