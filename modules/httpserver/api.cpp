#include "api.hpp"

#include <algorithm>

namespace gorgone::httpserver {

namespace {

using namespace std::chrono_literals;

// The core answers a request at once: this limit is for a disk that hangs.
constexpr auto reply_limit = 30s;
constexpr auto standard_sync_wait = 1s;
constexpr auto first_pause = 2ms, longest_pause = 250ms;

// What waits for a database or a queue may outlast the daemon. Such a request for this node is written down before it is answered, as one
// that comes from another of our agents, and is taken up again at the next start.
constexpr std::string_view kept_action = "CENTREONCOMMAND";
constexpr std::int64_t kept_s = 604800;
constexpr std::size_t delivery_length = 32;

Clock::time_point after(std::chrono::microseconds wait) { return Clock::now() + wait; }

std::string text_member(const json::value& value, std::string_view name, std::string otherwise) {
  return text_of(member(value, name)).value_or(std::move(otherwise));
}

/// An answer with code 1 that names an error was refused outright; any other refusal is in the log of the token alone.
std::optional<HttpAnswer> refusal_of(const Answer& answer, const std::string& token) {
  if (answer.code != code::failed) return {};
  auto data = answer.data.json();
  if (!data) return {};
  auto error = text_of(member(**data, "error")).value_or("");
  if (error.empty()) return {};
  return refusal(is_refused_for_now(error) ? 503 : 400, error, text_member(**data, "message", error), token);
}

HttpAnswer no_reply(const std::string& token, bool is_stopping) {
  if (is_stopping) return refusal(503, "stopping", "the daemon's HTTP server is stopping", token);
  return refusal(503, "timeout", "the daemon did not answer within 30 seconds", token);
}

Payload message_data(const Route& route, json::value content) {
  json::array variables;
  for (const auto& variable : route.variables) variables.emplace_back(variable);
  json::object data;
  data["content"] = std::move(content);
  data["parameters"] = route.parameters;
  data["variables"] = std::move(variables);
  return Payload(json::value(std::move(data)));
}

}  // namespace

/// A token whose rows are followed: rings at its last one.
struct Api::Token {
  Token(asio::io_context& loop, Stopping& stopping) : event(loop, stopping) {}
  Event event;
  bool has_ended = false;
  bool is_fetched = false;  ///< the fetch under way has come back
  std::shared_ptr<void> watch;
};

Api::Api(Agent& agent, Stopping& stopping) : agent_(agent), stopping_(stopping) {
  endpoints_.find = [this](const std::string& method, const std::string& path) { return agent_.endpoint(method, path); };
  endpoints_.methods = [this](const std::string& path) { return agent_.methods(path); };
}

asio::awaitable<HttpAnswer> Api::answer(std::string_view method, std::string_view target, std::string_view body) {
  auto routed = route(method, target, endpoints_);
  if (auto* refused = std::get_if<HttpAnswer>(&routed)) co_return std::move(*refused);
  auto& found = std::get<Route>(routed);
  // Its answer says nothing of what becomes of it, so there is no log in which this could be told.
  if (found.kind == Route::Kind::ping && !is_known(found.node))
    co_return refusal(404, "unknown_target", "node '" + found.node + "' is not registered");
  if (found.kind == Route::Kind::log) co_return co_await read_log(std::move(found));

  json::value content;
  if (method != "GET" && !body.empty()) {
    auto parsed = parse_json(body);
    if (!parsed) co_return bad_request("decode_error", "POST content must be JSON-formated");
    content = std::move(*parsed);
  }
  co_return co_await run_action(std::move(found), std::move(content));
}

asio::awaitable<HttpAnswer> Api::run_action(Route route, json::value content) {
  const auto token = new_token();
  Message message;
  message.action = route.action;
  message.token = token;
  message.target = route.node;
  message.data = message_data(route, std::move(content));
  message.origin.kind = Origin::Kind::api;
  message.ttl_s = route.outbox_ttl.value_or(0);

  // Followed before it begins: a quick action may have ended when its reply comes.
  std::shared_ptr<Token> followed;
  if (route.log_wait) followed = follow(token);
  const auto limit = after(route.log_wait.value_or(0us));

  if (message.action == kept_action && rows_from(route).empty()) {
    message.delivery = new_token().substr(0, delivery_length);
    message = wrap_delivery(message, route.outbox_ttl.value_or(kept_s));
  }
  auto reply = co_await submit(std::move(message));
  if (!reply) co_return no_reply(token, stopping_.asked());
  if (auto refused = refusal_of(*reply, token)) co_return std::move(*refused);
  if (route.kind == Route::Kind::ping) co_return ping_answer();

  if (route.kind == Route::Kind::internal && route.node.empty()) {
    auto data = reply->data.json();
    if (data && (*data)->is_object()) co_return HttpAnswer{200, to_text(**data), {}};
    if (data && (*data)->is_null()) co_return HttpAnswer{204, {}, {}};
  }
  if (!followed) co_return token_answer(token);

  co_await wait_for_end(followed, rows_from(route), limit);
  HistoryFilter filter;
  filter.token = token;
  co_return co_await log_of(std::move(filter));
}

asio::awaitable<HttpAnswer> Api::read_log(Route route) {
  const auto node = rows_from(route);
  const auto token = *route.filter.token;
  if (route.log_wait) {
    auto followed = follow(token);
    const auto limit = after(*route.log_wait);
    const bool has_been = co_await has_ended(token);
    if (has_been) followed->has_ended = true;
    co_await wait_for_end(followed, node, limit);
  } else if (!node.empty()) {
    auto fetched = std::make_shared<Token>(agent_.loop(), stopping_);
    co_await fetch(fetched, node, after(route.sync_wait.value_or(standard_sync_wait)));
  }
  co_return co_await log_of(std::move(route.filter));
}

/// By the newest rows that may end it: a token may have more than fit into the memory.
asio::awaitable<bool> Api::has_ended(std::string token) {
  for (const int ending : {code::finished, code::failed}) {
    HistoryFilter filter;
    filter.token = token;
    filter.code = ending;
    filter.limit = 100;
    auto rows = co_await agent_.journal().read(std::move(filter));
    if (rows && std::any_of(rows->begin(), rows->end(), ends_token)) co_return true;
  }
  co_return false;
}

asio::awaitable<std::optional<Answer>> Api::submit(Message message) {
  struct Waiting {
    Waiting(asio::io_context& loop, Stopping& stopping) : event(loop, stopping) {}
    Event event;
    std::optional<Answer> answer;
  };
  auto waiting = std::make_shared<Waiting>(agent_.loop(), stopping_);
  // Whoever owes the answer may give it when this server has ended: what waits ends with its request.
  Reply reply = [weak = std::weak_ptr(waiting), debt = debt_](Answer answer) {
    const auto asked = weak.lock();
    if (!asked) return;
    asked->answer = std::move(answer);
    asked->event.ring();
  };
  agent_.submit(std::move(message), std::move(reply));
  co_await waiting->event.wait_until(Clock::now() + reply_limit);
  co_return std::move(waiting->answer);
}

/// Returns when the token has ended, at the limit, or when the server stops. Rows of another node are asked for again and
/// again, for a node of an older release does not push them.
asio::awaitable<void> Api::wait_for_end(std::shared_ptr<Token> token, std::string node, Clock::time_point limit) {
  Clock::duration pause = first_pause;
  while (!token->has_ended) {
    const bool over = co_await is_over(limit);
    if (over) co_return;
    auto until = limit;
    if (!node.empty()) {
      co_await fetch(token, node, limit);
      if (token->has_ended) co_return;
      until = std::min(limit, Clock::now() + pause);
      pause = std::min<Clock::duration>(pause * 2, longest_pause);
    }
    co_await token->event.wait_until(until);
  }
}

/// Fetches the node's new rows; returns when they are stored, at the limit, or when a row that came meanwhile ends the token.
asio::awaitable<void> Api::fetch(std::shared_ptr<Token> token, std::string node, Clock::time_point limit) {
  auto* gateway = agent_.gateway();
  if (!gateway) co_return;
  token->is_fetched = false;
  std::function<void(Result<void>)> done = [weak = std::weak_ptr(token), debt = debt_](const Result<void>&) {
    const auto asked = weak.lock();
    if (!asked) return;
    asked->is_fetched = true;
    asked->event.ring();
  };
  gateway->fetch_log(node, std::move(done));
  while (!token->is_fetched && !token->has_ended) {
    const bool over = co_await is_over(limit);
    if (over) co_return;
    co_await token->event.wait_until(limit);
  }
  // The ring of an answer that came at once must not cut the pause that follows.
  token->event.forget();
}

asio::awaitable<bool> Api::is_over(Clock::time_point limit) {
  const bool cancelled = co_await is_cancelled();
  co_return cancelled || stopping_.asked() || Clock::now() >= limit;
}

asio::awaitable<HttpAnswer> Api::log_of(HistoryFilter filter) {
  const auto token = *filter.token;
  Agent::WriteRows write = [token](const Rows& rows, bool has_more) { return log_answer(token, rows, has_more).body; };
  auto text = co_await agent_.log_text(std::move(filter), std::move(write));
  if (text) co_return HttpAnswer{200, std::move(*text), {}};
  const bool is_busy = text.error().code == "busy";
  co_return refusal(is_busy ? 503 : 500, is_busy ? "busy" : "journal", text.error().message, token);
}

std::shared_ptr<Api::Token> Api::follow(const std::string& token) {
  auto followed = std::make_shared<Token>(agent_.loop(), stopping_);
  std::weak_ptr<Token> weak = followed;
  followed->watch = agent_.journal().watch(token, [weak](const HistoryRow& row) {
    auto alive = weak.lock();
    if (!alive || !ends_token(row)) return;
    alive->has_ended = true;
    alive->event.ring();
  });
  return followed;
}

bool Api::is_known(const std::string& node) const {
  const auto* gateway = agent_.gateway();
  return node.empty() || node == agent_.node_id() || (gateway && gateway->knows(node));
}

std::string Api::rows_from(const Route& route) const {
  const bool is_here = route.node.empty() || route.node == agent_.node_id() || !agent_.gateway();
  return is_here ? std::string() : route.node;
}

}  // namespace gorgone::httpserver
