#include "outcomes.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace gorgone;
using namespace gorgone::legacycmd;

namespace {

const OutcomeClock::time_point start{};
Sent sent(bool ends_twice = false) { return {"spool", "RELOAD", "3", ends_twice, false}; }

HistoryRow row(const std::string& token, int code, const std::string& data) {
  HistoryRow row;
  row.token = token;
  row.code = code;
  row.data = data;
  return row;
}

const std::string well = R"({"message":"commands processing has finished successfully"})";
const std::string badly = R"({"message":"commands processing has finished with errors"})";

}  // namespace

TEST_CASE("an exit code is a failure although its command has finished successfully") {
  CHECK(!failure_in(row("t", 100, R"({"message":"command has finished successfully","result":{"exit_code":0,"stdout":"x"}})")));
  CHECK(failure_in(row("t", 100, R"({"message":"command has finished successfully","result":{"exit_code":3,"stdout":"no"}})")) ==
        "the command ended with exit code 3: no");
  CHECK(failure_in(
            row("t", 1, R"({"message":"command execution issue","command":"x -p secret","result":{"exit_code":-1,"stdout":"late"}})")) ==
        "command execution issue: late");
  CHECK(failure_in(row("t", 1, R"({"message":"command execution issue","result":{"exit_code":-1,"stdout":"secret"}})"), false) ==
        "command execution issue");
  CHECK(failure_in(row("t", 100, R"({"result":{"exit_code":3,"stdout":"secret"}})"), false) == "the command ended with exit code 3");
  CHECK(failure_in(row("t", 1, R"({"message":"command not allowed (whitelist) at array index '0' : x -p secret"})"), false) ==
        "command not allowed (whitelist) at array index '0'");
  CHECK(failure_in(row("t", 1, R"({"message":": secret"})"), false) == "the row gives no reason");
  CHECK(!failure_in(row("t", 2, well)));
  CHECK(failure_in(row("t", 1, "no json")) == "no json");
}

TEST_CASE("of what a command has printed a line is remembered") {
  Outcomes outcomes;
  outcomes.follow("a", sent(), start);
  const auto printed = std::string(1000000, 'x');
  const auto told = outcomes.heard(row("a", 100, R"({"result":{"exit_code":1,"stdout":")" + printed + "\"}}"), start);
  REQUIRE(told.has_value());
  CHECK(told->reason.starts_with("the command ended with exit code 1: xxx"));
  CHECK(told->reason.size() < 400);
}

TEST_CASE("a token is told of once, and forgotten when it has ended") {
  Outcomes outcomes;
  outcomes.follow("a", sent(), start);
  outcomes.follow("b", sent(), start);
  CHECK(!outcomes.heard(row("other", 1, badly), start));
  const auto told = outcomes.heard(row("a", 100, R"({"result":{"exit_code":1}})"), start);
  REQUIRE(told.has_value());
  CHECK(told->token == "a");
  CHECK(!outcomes.heard(row("a", 1, badly), start));
  CHECK(outcomes.size() == 1);
  CHECK(!outcomes.heard(row("b", 2, R"({"message":"command has been submitted"})"), start));
  CHECK(outcomes.size() == 1);
  CHECK(!outcomes.heard(row("b", 2, well), start));
  CHECK(outcomes.size() == 0);
}

TEST_CASE("a copy that has ended well is followed a little longer") {
  Outcomes outcomes;
  outcomes.follow("a", sent(true), start);
  CHECK(!outcomes.heard(row("a", 2, well), start));
  CHECK(outcomes.heard(row("a", 1, badly), start + std::chrono::seconds(100)).has_value());
  CHECK(outcomes.size() == 0);
  outcomes.follow("b", sent(true), start);
  CHECK(!outcomes.heard(row("b", 2, well), start));
  outcomes.follow("c", sent(), start + std::chrono::seconds(151));
  CHECK(outcomes.size() == 1);
}

TEST_CASE("tokens are bounded in number and in time") {
  Outcomes outcomes({100, std::chrono::seconds(60), std::chrono::seconds(5)});
  for (int number = 0; number < 150; ++number) outcomes.follow(std::to_string(number), sent(), start);
  CHECK(outcomes.size() == 100);
  CHECK(outcomes.take_dropped() == 50);
  CHECK(outcomes.take_dropped() == 0);
  CHECK(!outcomes.heard(row("49", 1, badly), start));
  CHECK(outcomes.heard(row("50", 1, badly), start).has_value());
  outcomes.follow("late", sent(), start + std::chrono::seconds(61));
  CHECK(outcomes.size() == 1);
}

TEST_CASE("failures that are alike are written once, and then as a number") {
  std::vector<std::string> lines;
  FailureLog log([&lines](const std::string& line) { lines.push_back(line); },
                 [](const std::string& id) { return id == "3" ? std::string("poller-3") : std::string(); });
  CHECK(!log.due().has_value());
  for (int number = 0; number < 1000; ++number) log.note({sent(), "t" + std::to_string(number), "no reader"}, start);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "spool: RELOAD failed on poller '3' (poller-3): no reader token=t0");
  log.note({sent(), "u", "another reason"}, start);
  CHECK(lines.size() == 2);
  CHECK(log.due() == start + std::chrono::seconds(10));
  log.tell(start + std::chrono::seconds(9));
  CHECK(lines.size() == 2);
  log.tell(start + std::chrono::seconds(10));
  REQUIRE(lines.size() == 3);
  CHECK(lines[2] == "spool: RELOAD failed on poller '3' (poller-3): no reader (999 times since it was told; this is the last) token=t999");
  log.tell(start + std::chrono::seconds(20));
  CHECK(lines.size() == 3);
  CHECK(!log.due().has_value());
}

TEST_CASE("very many kinds of failures of a poller share a line") {
  std::size_t lines = 0;
  FailureLog log([&lines](const std::string&) { ++lines; }, [](const std::string&) { return std::string(); });
  for (int number = 0; number < 5000; ++number) log.note({sent(), "t", "reason " + std::to_string(number)}, start);
  CHECK(lines == 1001);
}
