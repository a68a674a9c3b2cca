#include "whitelist.hpp"

#include <catch2/catch.hpp>

#include <chrono>

using gorgone::action::Whitelist;

namespace {

Whitelist of(std::vector<std::string> expressions) {
  auto whitelist = Whitelist::of(expressions);
  REQUIRE(whitelist.has_value());
  return std::move(*whitelist);
}

}  // namespace

TEST_CASE("without a whitelist every command is allowed") { CHECK(Whitelist().allows("rm -rf /")); }

TEST_CASE("an empty whitelist allows nothing") {
  auto whitelist = of({});
  CHECK_FALSE(whitelist.allows("true"));
  CHECK_FALSE(whitelist.allows(""));
}

TEST_CASE("an expression is searched anywhere unless it is anchored") {
  auto whitelist = of({"centreon", "^sudo\\s+systemctl (restart|reload) \\w+$"});
  CHECK(whitelist.allows("ls /etc/centreon/x"));
  CHECK(whitelist.allows("sudo  systemctl restart centengine"));
  CHECK_FALSE(whitelist.allows("sudo systemctl stop centengine"));
  CHECK_FALSE(whitelist.allows("x; sudo systemctl restart centengine"));
  CHECK_FALSE(whitelist.allows("sudo systemctl restart centengine; x"));
}

TEST_CASE("expressions are Perl's: look-ahead, classes, inline options, characters beyond ASCII") {
  auto whitelist = of({"^(?!.*;)echo (?i:hello) [[:digit:]]+$", "^é.$"});
  CHECK(whitelist.allows("echo HELLO 12"));
  CHECK_FALSE(whitelist.allows("echo hello 12;3"));
  CHECK(whitelist.allows("éü"));
}

TEST_CASE("an expression that does not compile is told with its place") {
  auto whitelist = Whitelist::of({"^ok$", "a(b"});
  REQUIRE_FALSE(whitelist.has_value());
  CHECK(whitelist.error().message == "\"a(b\" is no Perl-compatible expression: missing closing parenthesis at character 3");
}

TEST_CASE("an expression that backtracks without end gives up and allows nothing") {
  auto whitelist = of({"^(a+)+$"});
  auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(whitelist.allows(std::string(40, 'a') + "!"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
  CHECK(whitelist.allows("aaaa"));
}
