#include "../answer.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::httpserver;

namespace {

json::value parsed(const HttpAnswer& answer) {
  auto value = parse_json(answer.body);
  REQUIRE(value.has_value());
  return *value;
}

}  // namespace

TEST_CASE("a token is answered in an object") { CHECK(token_answer("ab12").body == R"({"token":"ab12"})"); }

TEST_CASE("a refusal is JSON whatever its text holds") {
  auto answer = refusal(400, "no_proxy", "a \"quote\"\nand a break", "t1");
  CHECK(answer.status == 400);
  auto value = parsed(answer);
  CHECK(value.at("error").as_string() == "no_proxy");
  CHECK(value.at("message").as_string() == "a \"quote\"\nand a break");
  CHECK(value.at("token").as_string() == "t1");
}

TEST_CASE("a log without rows is the documented answer with status 200") {
  auto answer = log_answer("t1", {});
  CHECK(answer.status == 200);
  CHECK(parsed(answer) == *parse_json(R"({"error":"no_log","message":"No log found for token","data":[],"token":"t1"})"));
}

TEST_CASE("a log holds its rows as deployed daemons write them") {
  HistoryRow row;
  row.id = 12;
  row.token = "t1";
  row.code = 2;
  row.etime = 1700000000;
  row.ctime = 1700000000.25;
  row.data = R"({"message":"done"})";
  auto value = parsed(log_answer("t1", {row}));
  CHECK(value.at("message").as_string() == "Logs found");
  CHECK(value.at("token").as_string() == "t1");
  CHECK(value.as_object().if_contains("error") == nullptr);
  const auto& first = value.at("data").as_array().at(0);
  CHECK(first.at("id").as_string() == "12");
  CHECK(first.at("code").as_int64() == 2);
  CHECK(first.at("ctime").as_double() == 1700000000.25);
  CHECK(first.at("data").as_string() == R"({"message":"done"})");
}

TEST_CASE("a log that goes on says so behind its rows") {
  HistoryRow row;
  row.data = "{}";
  CHECK(log_answer("t1", {row}, true).body.ends_with(R"(],"more":1})"));
  CHECK(parsed(log_answer("t1", {row})).as_object().if_contains("more") == nullptr);
}

TEST_CASE("a method that is not allowed names those that are") {
  auto answer = method_not_allowed("GET, POST");
  CHECK(answer.status == 405);
  CHECK(answer.allow == "GET, POST");
  CHECK(parsed(answer).at("error").as_string() == "http_error_405");
}
