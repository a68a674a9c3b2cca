#pragma once
// Asks Centreon's web API whether a poller's token of the form name:value is good. What it says is kept for a minute. On the loop.

#include <gorgone/http_client.hpp>

#include <boost/url/url.hpp>
#include <map>
#include <optional>
#include <string>

#include "wss_access.hpp"
#include "wss_options.hpp"

namespace gorgone::proxy {

/// Whether the API's answer about a token lets it in: its value, of type "poller", neither revoked nor expired. Pure; `now` in seconds.
bool is_good(const json::value& token, std::int64_t now);
bool lets_in(const json::value& token, std::string_view value, std::int64_t now);

class CentreonTokens {
 public:
  /// An empty `api` knows no token.
  CentreonTokens(Agent& agent, std::optional<CentreonApi> api) : agent_(agent), api_(std::move(api)) {}

  bool has_api() const { return api_.has_value(); }
  /// True for text of the form name:value, where the API can be asked.
  bool may_know(std::string_view token) const;
  /// An Error where the API cannot be asked now.
  asio::awaitable<Result<bool>> check(std::string token);
  /// Whether the token of that name still lets in who knows its value.
  asio::awaitable<Result<bool>> is_still_good(std::string name);

 private:
  asio::awaitable<Result<bool>> ask(std::string name, std::optional<std::string> value);
  asio::awaitable<Result<void>> log_in();
  /// With a body: a POST.
  asio::awaitable<Result<HttpAnswer>> request(std::string path, std::string body);
  asio::awaitable<Result<WebStream>> connect(const boost::urls::url_view& url);
  asio::awaitable<void> wait_turn();

  using Clock = std::chrono::steady_clock;
  struct Known {
    bool is_good = false;
    Clock::time_point until{};
  };
  Agent& agent_;
  std::optional<CentreonApi> api_;
  std::string session_;  // the API's, empty: not logged in
  std::map<TokenDigest, Known> known_;
  int asking_ = 0;
};

}  // namespace gorgone::proxy
