#include "centreon_tokens.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/url/encode.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>
#include <ctime>

namespace gorgone::proxy {
namespace {

using namespace std::chrono_literals;

constexpr auto connect_limit = 3000ms;
constexpr auto answer_limit = 5000ms;
constexpr auto kept_for = 60s;
constexpr std::size_t kept_max = 20000;
constexpr std::uint64_t body_limit = 1 << 20;
constexpr int asking_max = 4;  // requests at a time: the API is a web application

// "2026-08-31T15:46:00+02:00" as seconds; nothing for another form.
std::optional<std::int64_t> seconds_of(const std::string& date) {
  std::tm time{};
  const char* rest = ::strptime(date.c_str(), "%Y-%m-%dT%H:%M:%S%z", &time);
  if (!rest) return {};
  const auto offset = time.tm_gmtoff;  // timegm() forgets it
  return static_cast<std::int64_t>(::timegm(&time)) - offset;
}

std::string told_by(const std::string& body) {
  const auto data = parse_json(body);
  return data ? printable(text_of(member(*data, "message")).value_or("")) : std::string();
}

}  // namespace

bool lets_in(const json::value& token, std::string_view value, std::int64_t now) {
  const auto expected = text_of(member(token, "token"));
  if (!expected || expected->empty() || !is_same(digest_of(*expected), digest_of(value))) return false;
  return is_good(token, now);
}

bool is_good(const json::value& token, std::int64_t now) {
  if (text_of(member(token, "type")) != "poller" || truth_of(member(token, "is_revoked"), false)) return false;
  const auto* end = member(token, "expiration_date");
  if (!end || end->is_null()) return true;
  const auto until = seconds_of(text_of(end).value_or(""));
  return until && now < *until;
}

bool CentreonTokens::may_know(std::string_view token) const {
  const auto colon = token.find(':');
  return api_ && colon != std::string_view::npos && colon > 0 && colon + 1 < token.size();
}

asio::awaitable<Result<bool>> CentreonTokens::check(std::string token) {
  const auto key = digest_of(token);
  co_await wait_turn();
  const auto now = Clock::now();
  if (const auto found = known_.find(key); found != known_.end() && now < found->second.until) co_return found->second.is_good;
  const auto colon = token.find(':');
  auto name = token.substr(0, colon);
  std::optional<std::string> value = token.substr(colon + 1);
  ++asking_;
  auto outcome = co_await ask(std::move(name), std::move(value));
  --asking_;
  if (!outcome) co_return Error{"Centreon's web API (tpapi) at " + api_->base_url + ": " + outcome.error().message};
  std::erase_if(known_, [&](const auto& item) { return now >= item.second.until; });
  if (known_.size() < kept_max) known_[key] = Known{*outcome, now + kept_for};
  co_return *outcome;
}

asio::awaitable<Result<bool>> CentreonTokens::is_still_good(std::string name) {
  if (!api_) co_return false;
  co_await wait_turn();
  ++asking_;
  std::optional<std::string> any_value;
  auto outcome = co_await ask(std::move(name), std::move(any_value));
  --asking_;
  if (!outcome) co_return Error{"Centreon's web API (tpapi) at " + api_->base_url + ": " + outcome.error().message};
  co_return *outcome;
}

asio::awaitable<void> CentreonTokens::wait_turn() {
  asio::steady_timer pause(agent_.loop());
  while (asking_ >= asking_max) {
    pause.expires_after(20ms);
    boost::system::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await pause.async_wait(token);
    if (error) co_return;
  }
}

asio::awaitable<Result<bool>> CentreonTokens::ask(std::string name, std::optional<std::string> value) {
  const auto path = "/administration/tokens/" + boost::urls::encode(name, boost::urls::unreserved_chars);
  for (bool is_again : {false, true}) {
    if (session_.empty()) {
      auto logged_in = co_await log_in();
      if (!logged_in) co_return logged_in.error();
    }
    std::string nothing;
    auto response = co_await request(path, std::move(nothing));
    if (!response) co_return response.error();
    const auto status = response->status;
    if (status == 404) co_return false;
    if (status == 200) {
      const auto data = parse_json(response->body);
      if (!data) co_return Error{"its answer about a token is no JSON"};
      const auto now = static_cast<std::int64_t>(std::time(nullptr));
      co_return value ? lets_in(*data, *value, now) : is_good(*data, now);
    }
    // The session may have ended meanwhile.
    session_.clear();
    if (is_again || (status != 401 && status != 403))
      co_return Error{fmt::format("it answers status {} when asked for a token: {}", status, told_by(response->body))};
  }
  co_return false;
}

asio::awaitable<Result<void>> CentreonTokens::log_in() {
  json::object credentials{{"login", api_->username}, {"password", api_->password}};
  json::object security{{"credentials", std::move(credentials)}};
  json::object body{{"security", std::move(security)}};
  std::string path = "/login", text = to_text(json::value(std::move(body)));
  auto response = co_await request(std::move(path), std::move(text));
  if (!response) co_return response.error();
  if (response->status / 100 != 2)
    co_return Error{
        fmt::format("it refuses the login of user '{}' with status {}: {}", api_->username, response->status, told_by(response->body))};
  const auto data = parse_json(response->body);
  const auto* security_told = data ? member(*data, "security") : nullptr;
  session_ = security_told ? text_of(member(*security_told, "token")).value_or("") : "";
  if (session_.empty()) co_return Error{"its answer to the login holds no security.token"};
  co_return Result<void>{};
}

asio::awaitable<Result<WebStream>> CentreonTokens::connect(const boost::urls::url_view& url) {
  const bool is_tls = url.scheme() == "https";
  const std::string host = url.host_address();
  const std::uint16_t port = url.has_port() ? url.port_number() : is_tls ? 443 : 80;
  auto stream = co_await WebStream::connect(agent_.loop(), host, port, connect_limit, answer_limit);
  if (!stream || !is_tls) co_return stream;
  auto context = make_tls_client(api_->verify, api_->ca_file);
  if (!context) co_return context.error();
  auto secured = co_await stream->tls_as_client(*context, host, api_->verify, answer_limit);
  if (!secured)
    co_return Error{secured.error().message + " (tls_verify: false in the entry of tpapi takes any certificate, ssl_ca_file adds a CA)"};
  co_return stream;
}

asio::awaitable<Result<HttpAnswer>> CentreonTokens::request(std::string path, std::string body) {
  const auto url = boost::urls::parse_uri(api_->base_url);
  if (!url || (url->scheme() != "http" && url->scheme() != "https"))
    co_return Error{"base_url is no URL, expected such as https://central/centreon/api/latest"};
  auto stream = co_await connect(*url);
  if (!stream) co_return stream.error();

  std::string prefix = url->path();
  while (prefix.ends_with('/')) prefix.pop_back();
  HttpRequest request;
  request.is_post = !body.empty();
  request.target = prefix + path;
  request.headers["Host"] = std::string(url->encoded_host_and_port());
  request.headers["Accept"] = request.headers["Content-Type"] = "application/json";
  if (!session_.empty()) request.headers["X-AUTH-TOKEN"] = session_;
  request.body = std::move(body);
  request.limit = answer_limit;
  request.answer_max = body_limit;
  co_return co_await http_exchange(*stream, std::move(request));
}

}  // namespace gorgone::proxy
