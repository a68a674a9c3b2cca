#include <catch2/catch.hpp>

#include "../centreon_tokens.hpp"
#include "../wss_access.hpp"

using namespace gorgone;
using namespace gorgone::proxy;
using Verdict = WssAccess::Verdict;

TEST_CASE("a bearer's token is found whatever the case and the blanks, and nothing in other headers") {
  CHECK(bearer_of("Bearer abc") == "abc");
  CHECK(bearer_of("  bearer \t a:b  ") == "a:b");
  CHECK(bearer_of("Basic abc").empty());
  CHECK(bearer_of("Bearerabc").empty());
  CHECK(bearer_of("Bearer").empty());
  CHECK(bearer_of("").empty());
}

TEST_CASE("the common token lets in nodes that have none of their own, and no others") {
  const WssAccess access("common", {{"6", "six"}, {"70000", "seven"}});
  CHECK(access.check("common", {"5"}) == Verdict::common);
  CHECK(access.check("common", {"6"}) == Verdict::refused);
  CHECK(access.check("six", {"6"}) == Verdict::own);
  CHECK(access.check("six", {"5"}) == Verdict::refused);
  CHECK(access.check("seven", {"7", "70000"}) == Verdict::own);
  CHECK(access.check("common", {"7", "70000"}) == Verdict::refused);
  CHECK(access.check("", {"5"}) == Verdict::refused);
}

TEST_CASE("without a common token an empty one lets nobody in") {
  const WssAccess access("", {});
  CHECK(access.check("", {"5"}) == Verdict::refused);
  CHECK_FALSE(access.is_known(""));
  CHECK_FALSE(access.is_known("x"));
}

TEST_CASE("a token is known where any node has it") {
  const WssAccess access("common", {{"6", "six"}});
  CHECK(access.is_known("common"));
  CHECK(access.is_known("six"));
  CHECK_FALSE(access.is_known("five"));
}

namespace {
bool good(const std::string& text, const std::string& value = "v", std::int64_t now = 1700000000) {
  return lets_in(*parse_json(text), value, now);
}
}  // namespace

TEST_CASE("a token of the web API is good with its value, of type poller, neither revoked nor expired") {
  CHECK(good(R"({"token":"v","type":"poller","is_revoked":false,"expiration_date":null})"));
  CHECK(good(R"({"token":"v","type":"poller"})"));
  CHECK_FALSE(good(R"({"token":"v","type":"poller","is_revoked":false})", "w"));
  CHECK_FALSE(good(R"({"token":"v","type":"cma","is_revoked":false})"));
  CHECK_FALSE(good(R"({"token":"v","type":"poller","is_revoked":true})"));
  CHECK_FALSE(good(R"({"token":null,"type":"poller"})", ""));
  CHECK_FALSE(good("[]"));
}

TEST_CASE("a token's time is read with its zone") {
  // 1700000000 is 2023-11-14T22:13:20 UTC.
  CHECK(good(R"({"token":"v","type":"poller","expiration_date":"2023-11-14T22:13:21+00:00"})"));
  CHECK_FALSE(good(R"({"token":"v","type":"poller","expiration_date":"2023-11-14T22:13:20+00:00"})"));
  CHECK(good(R"({"token":"v","type":"poller","expiration_date":"2023-11-14T21:13:21-01:00"})"));
  CHECK_FALSE(good(R"({"token":"v","type":"poller","expiration_date":"2023-11-15T00:13:20+02:00"})"));
  CHECK_FALSE(good(R"({"token":"v","type":"poller","expiration_date":"soon"})"));
}
