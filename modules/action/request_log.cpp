#include "request_log.hpp"

namespace gorgone::action {
namespace {

bool is_switched_off(const json::value* logging) {
  return logging != nullptr && !logging->is_null() && (!truth_of(logging, true) || text_of(logging) == "false");
}

}  // namespace

RequestLog::RequestLog(Journal& journal, std::string token, const json::value& data)
    : journal_(journal),
      token_(std::move(token)),
      is_on_(!is_switched_off(member(data, "logging"))),
      instant_(truth_of(member(data, "instant"), false)) {}

void RequestLog::row(int code, std::string_view message) const {
  json::object data;
  data["message"] = message;
  write(code, std::move(data), false);
}

void RequestLog::write(int code, json::object data, bool instant) const {
  if (!is_on_) return;
  NewRow row;
  row.token = token_;
  row.code = code;
  row.data = to_text(json::value(std::move(data)));
  row.instant = instant;
  journal_.write(std::move(row));
}

}  // namespace gorgone::action
