#pragma once
// The history rows of one request. On the loop.

#include <gorgone/journal.hpp>
#include <gorgone/message.hpp>

#include <string>
#include <string_view>

namespace gorgone::action {

class RequestLog {
 public:
  /// `data` is the request's: `"logging": false` in it silences the rows, `"instant": 1` marks the result rows.
  RequestLog(Journal& journal, std::string token, const json::value& data);

  void row(int code, json::object data) const { write(code, std::move(data), false); }
  void row(int code, std::string_view message) const;
  /// A command's result: kept for a day only where the request says so.
  void result(json::object data) const { write(code::command_result, std::move(data), instant_); }

 private:
  void write(int code, json::object data, bool instant) const;

  Journal& journal_;
  std::string token_;
  bool is_on_, instant_;
};

}  // namespace gorgone::action
