#include "core/ctl/http_api.hpp"

#include <gorgone/base64.hpp>
#include <gorgone/http_client.hpp>

#include <CLI/CLI.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/url/parse.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "core/config/agent_config.hpp"

namespace gorgone::ctl {
namespace {

using namespace std::chrono_literals;

constexpr auto connect_limit = 5s, answer_limit = 40s;
constexpr std::uint64_t body_max = std::uint64_t{64} << 20;

std::string scalar(const ConfigValue* map, const char* key) {
  const auto* value = map ? map->find(key) : nullptr;
  return value ? value->scalar : std::string();
}

bool is_true(const std::string& text) { return text == "true" || text == "1" || text == "yes" || text == "on"; }

std::optional<std::uint16_t> port_in(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return {};
  return port;
}

Result<ApiAddress> from_configuration(const std::string& file) {
  std::vector<Problem> problems;
  const auto config = load_agent_config(file, problems);
  if (!config) return config.error();
  for (const auto& entry : config->modules) {
    if (entry.library != "httpserver" || !entry.enabled) continue;
    ApiAddress api;
    const auto address = scalar(&entry.values, "address"), port = scalar(&entry.values, "port");
    // What listens everywhere listens here.
    if (!address.empty() && address != "0.0.0.0" && address != "::" && address != "*") api.host = address;
    const auto number = port.empty() ? std::optional<std::uint16_t>(8080) : port_in(port);
    if (!number)
      return Error{
          fmt::format("modules.httpserver.port: got \"{}\" ({}), expected a port from 1 to 65535, or give the API's address by --api", port,
                      entry.where.text())};
    api.port = *number;
    api.is_tls = is_true(scalar(&entry.values, "ssl"));
    // Its certificate is for the name that others know it by, and this is the very machine.
    api.verifies = false;
    const auto* auth = entry.values.find("auth");
    if (is_true(scalar(auth, "enabled"))) {
      api.user = scalar(auth, "user");
      api.password = scalar(auth, "password");
    }
    return api;
  }
  return Error{fmt::format("{} has no module httpserver: expected one, or the address of a daemon's API by --api", file)};
}

Result<ApiAddress> from_url(const std::string& text) {
  const auto url = boost::urls::parse_uri(text);
  const bool is_http = url.has_value() && url->scheme() == "http", is_https = url.has_value() && url->scheme() == "https";
  if ((!is_http && !is_https) || url->host().empty())
    return Error{fmt::format("--api: got \"{}\", expected an address such as http://127.0.0.1:8085", text)};
  ApiAddress api;
  api.host = url->host_address();
  api.is_tls = is_https;
  api.port = is_https ? 443 : 80;
  if (url->has_port()) {
    const auto port = port_in(std::string_view(url->port().data(), url->port().size()));
    if (!port) return Error{fmt::format("--api: got \"{}\", expected a port from 1 to 65535", text)};
    api.port = *port;
  }
  return api;
}

asio::awaitable<Result<ApiAnswer>> ask_once(asio::io_context& loop, const ApiAddress& api, const std::string& path,
                                            const std::optional<json::value>& body) {
  const auto at = fmt::format("{}:{}", api.host, api.port);
  auto stream = co_await WebStream::connect(loop, api.host, api.port, connect_limit, answer_limit);
  if (!stream) co_return Error{fmt::format("the API at {} cannot be reached: {}", at, stream.error().message)};
  if (api.is_tls) {
    auto context = make_tls_client(api.verifies, {});
    if (!context) co_return context.error();
    auto shaken = co_await stream->tls_as_client(*context, api.host, api.verifies, connect_limit);
    if (!shaken) co_return Error{fmt::format("the API at {}: {}", at, shaken.error().message)};
  }
  HttpRequest request;
  request.is_post = body.has_value();
  request.target = path;
  request.headers["Host"] = at;
  request.headers["Content-Type"] = "application/json";
  if (!api.user.empty()) request.headers["Authorization"] = "Basic " + base64_encode(api.user + ":" + api.password);
  if (body) request.body = to_text(*body);
  request.limit = answer_limit;
  request.answer_max = body_max;
  const auto answer = co_await http_exchange(*stream, std::move(request));
  if (!answer) co_return Error{fmt::format("the API at {} does not answer: {}", at, answer.error().message)};
  auto parsed = parse_json(answer->body);
  if (!parsed) co_return Error{fmt::format("what answers at {} is no API of gorgoned: status {}", at, answer->status)};
  ApiAnswer out;
  out.status = answer->status;
  out.body = std::move(*parsed);
  co_return out;
}

}  // namespace

void add_api_options(CLI::App& command, ApiWish& wish) {
  command.add_option("--config", wish.config, "The configuration of the daemon whose API is asked")->capture_default_str();
  command.add_option("--api", wish.url, "The API's address, such as http://127.0.0.1:8085, in place of the configuration's");
  command.add_option("--user", wish.user, "The API's user, in place of the configuration's");
  command.add_option("--password", wish.password, "The API's password; better in the environment, as GORGONE_API_PASSWORD");
  command.add_flag("--insecure", wish.is_insecure, "Take any certificate of the address given by --api");
}

Result<ApiAddress> find_api(const ApiWish& wish) {
  auto api = wish.url.empty() ? from_configuration(wish.config) : from_url(wish.url);
  if (!api) return api;
  if (wish.is_insecure) api->verifies = false;
  if (!wish.user.empty()) api->user = wish.user;
  const auto* password = std::getenv("GORGONE_API_PASSWORD");
  if (password) api->password = password;
  if (!wish.password.empty()) api->password = wish.password;
  return api;
}

Result<ApiAnswer> ask(const ApiAddress& api, const std::string& path, const std::optional<json::value>& body) {
  asio::io_context loop{1};
  Result<ApiAnswer> outcome = Error{"the API was not asked"};
  auto ended = [&outcome](const std::exception_ptr& failure, Result<ApiAnswer> answer) {
    if (failure) std::rethrow_exception(failure);
    outcome = std::move(answer);
  };
  asio::co_spawn(loop, ask_once(loop, api, path, body), std::move(ended));
  loop.run();
  return outcome;
}

Result<std::string> start_action(const ApiAddress& api, const std::string& path, const json::value& body) {
  const auto answer = ask(api, path, body);
  if (!answer) return answer.error();
  const auto token = text_of(member(answer->body, "token"));
  if (answer->status == 200 && token) return *token;
  const auto message = text_of(member(answer->body, "message"));
  return Error{fmt::format("the daemon refuses it: {} (HTTP status {})", message.value_or(to_text(answer->body)), answer->status)};
}

}  // namespace gorgone::ctl
