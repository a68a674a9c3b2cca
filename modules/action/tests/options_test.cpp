#include "options.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;

namespace {

Settings settings(std::string_view text) {
  auto values = std::make_shared<ConfigValue>(ConfigValue::from_json(json::parse(text), "test.yaml"));
  return Settings(std::make_shared<Schema>(action::schema()), values);
}

}  // namespace

TEST_CASE("what is absent has its default") {
  auto options = action::read_options(settings("{}"));
  REQUIRE(options.has_value());
  CHECK(options->command_timeout.count() == 30);
  CHECK(options->concurrent_engine == 3);
  CHECK(options->max_output == 1048576);
  CHECK(options->whitelist.allows("anything"));
}

TEST_CASE("the allow-list counts only where it is switched on") {
  auto off = action::read_options(settings(R"({"allowed_cmds":["^a$"]})"));
  auto on = action::read_options(settings(R"({"whitelist_cmds":"true","allowed_cmds":["^a$"]})"));
  REQUIRE(off.has_value());
  REQUIRE(on.has_value());
  CHECK(off->whitelist.allows("b"));
  CHECK_FALSE(on->whitelist.allows("b"));
}

TEST_CASE("each expression that does not compile is an error of the configuration") {
  auto problems = action::check_options(settings(R"x({"whitelist_cmds":true,"allowed_cmds":["^a$","a(b","c)"]})x"));
  REQUIRE(problems.size() == 2);
  CHECK(problems[0].severity == Problem::Severity::error);
  CHECK(problems[0].message.find("modules.action.allowed_cmds: \"a(b\" is no Perl-compatible expression: ") == 0);
  CHECK(problems[1].message.find("\"c)\"") != std::string::npos);
}

TEST_CASE("an allow-list that allows nothing is a warning") {
  auto problems = action::check_options(settings(R"({"whitelist_cmds":true})"));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].severity == Problem::Severity::warning);
}
