#pragma once
// The flow of one API request: submit the message, wait for what was asked for, form the answer. On the loop.

#include "answer.hpp"
#include "route.hpp"
#include "waiting.hpp"

#include <gorgone/agent.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace gorgone::httpserver {

class Api {
 public:
  Api(Agent& agent, Stopping& stopping);

  /// Answers one request that may be served. Where the coroutine is cancelled the answer is of no use.
  asio::awaitable<HttpAnswer> answer(std::string_view method, std::string_view target, std::string_view body);

  /// Callbacks that the core still owes; the module must not go before they have come.
  std::size_t owed() const { return static_cast<std::size_t>(debt_.use_count()) - 1; }

 private:
  struct Token;

  asio::awaitable<HttpAnswer> run_action(Route route, json::value content);
  asio::awaitable<HttpAnswer> read_log(Route route);
  asio::awaitable<std::optional<Answer>> submit(Message message);
  asio::awaitable<void> wait_for_end(std::shared_ptr<Token> token, std::string node, Clock::time_point limit);
  asio::awaitable<void> fetch(std::shared_ptr<Token> token, std::string node, Clock::time_point limit);
  asio::awaitable<bool> is_over(Clock::time_point limit);
  asio::awaitable<bool> has_ended(std::string token);
  asio::awaitable<HttpAnswer> log_of(HistoryFilter filter);
  std::shared_ptr<Token> follow(const std::string& token);
  bool is_known(const std::string& node) const;
  /// The node to fetch rows from; empty where they are all written here.
  std::string rows_from(const Route& route) const;

  Agent& agent_;
  Stopping& stopping_;
  Endpoints endpoints_;
  std::shared_ptr<char> debt_ = std::make_shared<char>();  // each callback under way holds a copy
};

}  // namespace gorgone::httpserver
