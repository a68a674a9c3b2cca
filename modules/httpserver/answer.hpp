#pragma once
// What the API says to one request, before it is put into HTTP. Plain values, no thread of their own.

#include <gorgone/journal.hpp>
#include <gorgone/json.hpp>

#include <string>
#include <string_view>

namespace gorgone::httpserver {

struct HttpAnswer {
  unsigned status = 200;
  std::string body;        ///< JSON; nothing with status 204
  std::string allow = {};  ///< methods for 405, "GET, POST"
};

/// `{"error":error,"message":message}`, with `token` where there is one.
HttpAnswer refusal(unsigned status, std::string_view error, std::string_view message, std::string_view token = {});

HttpAnswer bad_request(std::string_view error, std::string_view message);
HttpAnswer unauthorized();
HttpAnswer forbidden();
HttpAnswer too_many_guesses();
HttpAnswer method_unknown();
/// `allow`: the methods that the path knows.
HttpAnswer method_not_allowed(std::string allow);

HttpAnswer token_answer(std::string_view token);
HttpAnswer ping_answer();
/// "Logs found", or the documented no_log answer (status 200) where there are no rows; "more" where the log goes on behind them.
HttpAnswer log_answer(std::string_view token, const Rows& rows, bool has_more = false);

}  // namespace gorgone::httpserver
