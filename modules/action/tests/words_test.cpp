#include "words.hpp"

#include <catch2/catch.hpp>

using gorgone::action::split_words;
using Words = std::vector<std::string>;

namespace {

Words words(std::string_view line) {
  auto split = split_words(line);
  REQUIRE(split.has_value());
  return *split;
}

}  // namespace

TEST_CASE("white space of any kind and amount separates words") { CHECK(words(" \ta  b\nc\r\n ") == Words{"a", "b", "c"}); }

TEST_CASE("a line without words gives none") { CHECK(words(" \t\n").empty()); }

TEST_CASE("nothing is taken from single quotes") { CHECK(words(R"(echo 'a  \n "b"' c)") == Words{"echo", R"(a  \n "b")", "c"}); }

TEST_CASE("a backslash in double quotes and outside takes the next character's meaning") {
  CHECK(words(R"("a\"b\\c\nd" e\ f \' \")") == Words{R"(a"b\cnd)", "e f", "'", "\""});
}

TEST_CASE("quoted and bare pieces without space between are one word") { CHECK(words(R"(a'b c'"d e"f)") == Words{"ab cd ef"}); }

TEST_CASE("empty quotes are a word of their own") { CHECK(words(R"(a '' "" b)") == Words{"a", "", "", "b"}); }

TEST_CASE("a shell's characters mean nothing") { CHECK(words("echo $HOME ; x|y > *") == Words{"echo", "$HOME", ";", "x|y", ">", "*"}); }

TEST_CASE("an open quote and a last backslash are errors") {
  CHECK(split_words("echo 'a").error().message == "a quote (') is not closed");
  CHECK(split_words("echo \"a").error().message == "a quote (\") is not closed");
  CHECK(split_words("echo a\\").error().message == "a backslash at its end takes nothing");
}
