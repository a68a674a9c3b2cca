#include "answer.hpp"

namespace gorgone::httpserver {

namespace {

void append_member(std::string& body, std::string_view name, std::string_view value) {
  body += body.empty() ? '{' : ',';
  append_json_string(body, name);
  body += ':';
  append_json_string(body, value);
}

}  // namespace

HttpAnswer refusal(unsigned status, std::string_view error, std::string_view message, std::string_view token) {
  HttpAnswer answer{status, {}, {}};
  append_member(answer.body, "error", error);
  append_member(answer.body, "message", message);
  if (!token.empty()) append_member(answer.body, "token", token);
  answer.body += '}';
  return answer;
}

HttpAnswer bad_request(std::string_view error, std::string_view message) { return refusal(400, error, message); }

HttpAnswer unauthorized() { return refusal(401, "http_error_401", "unauthorized"); }

HttpAnswer forbidden() { return refusal(403, "http_error_403", "forbidden"); }

HttpAnswer too_many_guesses() {
  return refusal(429, "http_error_429", "too many wrong passwords of this address wait for their answer: ask again when they have it");
}

HttpAnswer method_unknown() { return refusal(404, "method_unknown", "Method not implemented"); }

HttpAnswer method_not_allowed(std::string allow) {
  auto answer = refusal(405, "http_error_405", "method not allowed, allowed here: " + allow);
  answer.allow = std::move(allow);
  return answer;
}

HttpAnswer token_answer(std::string_view token) {
  HttpAnswer answer;
  append_member(answer.body, "token", token);
  answer.body += '}';
  return answer;
}

HttpAnswer ping_answer() { return {200, R"({"message":"ping sent, check /api/internal/constatus for response"})", {}}; }

HttpAnswer log_answer(std::string_view token, const Rows& rows, bool has_more) {
  HttpAnswer answer;
  if (rows.empty()) append_member(answer.body, "error", "no_log");
  append_member(answer.body, "message", rows.empty() ? "No log found for token" : "Logs found");
  append_member(answer.body, "token", token);
  answer.body += ",\"data\":";
  answer.body += rows_to_json(rows);
  if (has_more) answer.body += ",\"more\":1";
  answer.body += '}';
  return answer;
}

}  // namespace gorgone::httpserver
