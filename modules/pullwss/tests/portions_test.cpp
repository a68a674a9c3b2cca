#include <catch2/catch.hpp>

#include <gorgone/json.hpp>
#include <gorgone/wss_text.hpp>

#include "../portions.hpp"

using namespace gorgone;
using namespace gorgone::pullwss;

namespace {

json::object row(std::int64_t id, const std::string& data) {
  return {{"id", id}, {"token", "t"}, {"code", 100}, {"ctime", 1795331138.12345 + static_cast<double>(id)}, {"data", data}};
}

Answer setlogs(json::array rows, bool has_more = false) {
  json::object data{{"action", "getlog"}, {"result", std::move(rows)}, {"id", "8"}};
  if (has_more) data["more"] = 1;
  return Answer{"SETLOGS", "q", 0, Payload(json::value(std::move(data)))};
}

/// The data of what goes up, as the central reads it.
json::value read(const std::string& text) {
  const auto message = wss::read_message(wss::decode_entities(text));
  REQUIRE(message);
  CHECK(message->action == "SETLOGS");
  CHECK(message->token == "q");
  const auto parsed = message->data.json();
  REQUIRE(parsed.has_value());
  return (*parsed)->at("data");
}

}  // namespace

TEST_CASE("a question for all rows becomes one for a portion, one for a portion stays") {
  Message deployed{"GETLOG", "t", {}, Payload(R"({"ctime":1795331138.12345})"), {}};
  CHECK(ask_for_a_portion(deployed));
  const auto asked = deployed.data.json();
  REQUIRE(asked.has_value());
  CHECK(integer_of(member(**asked, "portion")).value_or(0) > 0);
  CHECK(number_of(member(**asked, "ctime")) == 1795331138.12345);
  Message ours{"GETLOG", "t", {}, Payload(R"({"ctime":1,"portion":1000})"), {}};
  CHECK_FALSE(ask_for_a_portion(ours));
  CHECK(ours.data.text() == R"({"ctime":1,"portion":1000})");
}

TEST_CASE("rows that fit go up together, and whether there are more is known") {
  json::array rows{row(1, "{}"), row(2, "{}")};
  const auto log = fit(setlogs(rows), 5000);
  CHECK_FALSE(log.leaves_some);
  CHECK(read(log.text).at("result").as_array().size() == 2);
  CHECK(fit(setlogs(rows, true), 5000).leaves_some);
  CHECK_FALSE(fit(setlogs({}), 5000).leaves_some);
}

TEST_CASE("of rows that do not fit the oldest go up, as they are") {
  json::array rows;
  for (int id = 1; id <= 50; ++id) rows.push_back(row(id, R"({"result":{"stdout":"é & <\")" + std::string(100, '"') + R"(\""}})"));
  const auto log = fit(setlogs(rows), 20000);
  CHECK(log.leaves_some);
  CHECK(log.text.size() <= 20000);
  CHECK(log.text.size() > 15000);
  const auto data = read(log.text);
  const auto& told = data.at("result").as_array();
  REQUIRE(told.size() > 1);
  for (std::size_t i = 0; i < told.size(); ++i) CHECK(told[i] == rows[i]);
  CHECK(data.at("id") == "8");
  CHECK(data.at("action") == "getlog");
}

TEST_CASE("a row that does not fit by itself has its long texts cut") {
  const json::value content{{"message", "well"},
                            {"result", {{"exit_code", 0}, {"stdout", std::string(30000, 'x') + "é"}, {"stderr", "none"}}}};
  json::array rows{row(1, to_text(content)), row(2, "{}")};
  const auto log = fit(setlogs(rows), 10000);
  CHECK_FALSE(log.leaves_some);
  CHECK(log.text.size() <= 10000);
  const auto data = read(log.text);
  REQUIRE(data.at("result").as_array().size() == 2);
  CHECK(data.at("result").as_array()[1] == rows[1]);
  const auto& told = data.at("result").as_array()[0];
  CHECK(told.at("id") == 1);
  CHECK(told.at("code") == 100);
  const auto cut = parse_json(std::string(told.at("data").as_string()));
  REQUIRE(cut.has_value());
  CHECK(cut->at("message") == "well");
  CHECK(cut->at("result").at("exit_code") == 0);
  CHECK(cut->at("result").at("stderr") == "none");
  const std::string stdout_text(cut->at("result").at("stdout").as_string());
  CHECK(stdout_text.starts_with("xxxx"));
  CHECK(stdout_text.find("(30002 bytes, of which") != std::string::npos);
}

TEST_CASE("a row of very many short texts, or of no JSON, says how long it was") {
  json::array many;
  for (int i = 0; i < 5000; ++i) many.emplace_back("abcdefgh");
  for (const auto& data : {to_text(json::value{{"list", many}}), std::string(20000, '{')}) {
    json::array rows{row(1, data)};
    const auto log = fit(setlogs(rows), 5000);
    CHECK(log.text.size() <= 5000);
    CHECK_FALSE(log.leaves_some);
    const auto told = read(log.text).at("result").as_array()[0];
    CHECK(told.at("data").as_string().find("more than the central's WebSocket takes") != json::string::npos);
  }
}
