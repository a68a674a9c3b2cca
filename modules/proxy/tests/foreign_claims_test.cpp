#include "foreign_claims.hpp"

#include <catch2/catch.hpp>

using gorgone::proxy::ForeignClaims;
using Claims = std::map<std::string, std::string>;

TEST_CASE("what a node says of others' nodes is told once, again when it is something else") {
  ForeignClaims claims;
  CHECK_FALSE(claims.line("2", {}));
  const auto line = claims.line("2", {{"5", "5"}, {"9", "3"}});
  REQUIRE(line);
  CHECK(line->find("node '2' says that nodes are behind it to which others lead: '5' (registered here), '9' (by node '3').") == 0);
  CHECK(line->find("httpserver.nodes") != std::string::npos);
  CHECK_FALSE(claims.line("2", {{"5", "5"}, {"9", "3"}}));
  CHECK(claims.line("4", {{"9", "3"}}));
  CHECK(claims.line("2", {{"9", "3"}}));
  CHECK_FALSE(claims.line("2", {}));
  CHECK(claims.line("2", {{"9", "3"}}));
  claims.forget("2");
  CHECK(claims.line("2", {{"9", "3"}}));
}

TEST_CASE("a line about others' nodes names ten of them, and counts the rest") {
  ForeignClaims claims;
  Claims many;
  for (int i = 10; i < 30; ++i) many.emplace("n" + std::to_string(i) + "\n", "3");
  const auto line = claims.line("2", many);
  REQUIRE(line);
  CHECK(line->find("'n19\\x0a' (by node '3') and 10 more.") != std::string::npos);
  CHECK(line->find("n20") == std::string::npos);
}

TEST_CASE("what a node says of others' nodes is looked at once a minute") {
  ForeignClaims claims;
  CHECK(claims.is_due("2", 100));
  CHECK_FALSE(claims.is_due("2", 159));
  CHECK(claims.is_due("4", 159));
  CHECK(claims.is_due("2", 160));
}
