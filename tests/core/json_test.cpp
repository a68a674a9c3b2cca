#include <catch2/catch.hpp>
#include <gorgone/json.hpp>

using namespace gorgone;

namespace {

json::value parsed(std::string_view text) {
  Result<json::value> value = parse_json(text);
  INFO(text);
  REQUIRE(value.has_value());
  return *value;
}

std::string again(std::string_view text) { return to_text(parsed(text)); }

std::string nested(std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace

TEST_CASE("valid UTF-8 stays as it is") {
  for (std::string text : {"", "plain", "caf\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(to_utf8(text) == text);
}

TEST_CASE("a byte that is no UTF-8 is read as Latin-1, and only that byte") {
  CHECK(to_utf8("caf\xE9") == "caf\xC3\xA9");
  CHECK(to_utf8("\xC3\xA9\xE9\xC3\xA9") == "\xC3\xA9\xC3\xA9\xC3\xA9");
  CHECK(to_utf8("\xE4t\xE9") == "\xC3\xA4t\xC3\xA9");
  CHECK(to_utf8("\xFF") == "\xC3\xBF");
}

TEST_CASE("overlong forms, surrogates and what lies beyond Unicode are no UTF-8") {
  CHECK(to_utf8("\xC0\x80") == "\xC3\x80\xC2\x80");
  CHECK(to_utf8("\xE0\x80\x80") == "\xC3\xA0\xC2\x80\xC2\x80");
  CHECK(to_utf8("\xED\xA0\x80") == "\xC3\xAD\xC2\xA0\xC2\x80");
  CHECK(to_utf8("\xF4\x90\x80\x80") == "\xC3\xB4\xC2\x90\xC2\x80\xC2\x80");
  CHECK(to_utf8("\xE2\x82") == "\xC3\xA2\xC2\x82");
}

TEST_CASE("JSON with Latin-1 bytes is taken") { CHECK(parsed("{\"a\":\"caf\xE9\"}").at("a").as_string() == "caf\xC3\xA9"); }

TEST_CASE("white space around a value is taken, anything else is refused") {
  CHECK(again(" \r\n\t{ \"a\" : [ 1 , 2 ] } \n") == R"({"a":[1,2]})");
  CHECK(again("12") == "12");
  for (const char* text : {"", "  ", "{", "[1,]", "{} {}", "01", "'a'", "{\"a\":}", "nul", "\"a\nb\"", "1 2"}) {
    INFO(text);
    CHECK(parse_json(text).has_error());
  }
}

TEST_CASE("an error in JSON says where it is") {
  CHECK(parse_json("{\"a\":1}x").error().message.find("at byte 7") != std::string::npos);
  CHECK(parse_json("[1,2").error().message.find("too early") != std::string::npos);
}

TEST_CASE("200 levels are taken and one more is an error") {
  CHECK(parse_json(nested(200)).has_value());
  const Result<json::value> deep = parse_json(nested(201));
  REQUIRE(deep.has_error());
  CHECK(deep.error().message.find("deeper than 200") != std::string::npos);
  CHECK(parse_json(std::string(1'000'000, '[')).has_error());
}

TEST_CASE("of a member that is there twice the last one counts") {
  CHECK(again(R"({"a":1,"b":2,"a":3})").find("\"a\":3") != std::string::npos);
}

TEST_CASE("a time with fractions is written in plain form and reads back the same") {
  CHECK(to_text(json::value(1795313965.76488)) == "1795313965.76488");
  CHECK(to_text(json::value(1790000000.0)).find_first_of("eE") == std::string::npos);
  CHECK(to_text(json::value(0.1)) == "0.1");
  for (double number : {1795313965.76488, 0.1, -2.5e-7, 1e300, 123456789.123})
    CHECK(parsed(to_text(json::value(number))).to_number<double>() == number);
}

TEST_CASE("integers keep every digit") {
  CHECK(again("[9223372036854775807,18446744073709551615,-9223372036854775808,0]") ==
        "[9223372036854775807,18446744073709551615,-9223372036854775808,0]");
}

TEST_CASE("a number that JSON cannot say becomes null") {
  CHECK(to_text(json::value(std::numeric_limits<double>::infinity())) == "null");
  CHECK(to_text(json::value(std::numeric_limits<double>::quiet_NaN())) == "null");
}

TEST_CASE("structures are written compactly, in their order") {
  const char* text = R"({"z":[],"a":{},"list":[1,"x",null,true,false,{"b":[[]]}]})";
  CHECK(again(text) == text);
}

TEST_CASE("strings are escaped where they must be and raw elsewhere") {
  CHECK(quoted("a\"b\\c/d") == R"("a\"b\\c/d")");
  CHECK(quoted("\n\r\t\b\f\x01\x1f") == R"("\n\r\t\b\f\u0001\u001f")");
  CHECK(quoted(std::string_view("\0", 1)) == R"("\u0000")");
  CHECK(quoted("caf\xC3\xA9 \xE2\x82\xAC") == "\"caf\xC3\xA9 \xE2\x82\xAC\"");
  CHECK(quoted("") == "\"\"");
}

TEST_CASE("what we write is UTF-8 whatever a string holds") { CHECK(to_text(json::value("\xE9")) == "\"\xC3\xA9\""); }

TEST_CASE("numbers are read whether they are written as numbers or as strings") {
  const json::value value =
      parsed(R"({"i":12,"s":"12","f":12.9,"n":"-7","p":"1.5","x":"12a","e":"","big":18446744073709551615,"l":[],"t":true})");
  const auto integer = [&](const char* name) { return integer_of(member(value, name)); };
  CHECK(integer("i") == 12);
  CHECK(integer("s") == 12);
  CHECK(integer("f") == 12);
  CHECK(integer("n") == -7);
  for (const char* name : {"p", "x", "e", "big", "l", "t", "missing"}) {
    INFO(name);
    CHECK_FALSE(integer(name).has_value());
  }
  CHECK(number_of(member(value, "p")) == 1.5);
  CHECK(number_of(member(value, "f")) == 12.9);
  CHECK(number_of(member(value, "i")) == 12.0);
  CHECK_FALSE(number_of(member(value, "x")).has_value());
  CHECK_FALSE(integer_of(nullptr).has_value());
}

TEST_CASE("scalars have a text, structures and null have none") {
  const json::value value = parsed(R"({"s":"a","i":2,"f":1.5,"t":true,"n":null,"l":[1],"o":{}})");
  CHECK(text_of(member(value, "s")) == "a");
  CHECK(text_of(member(value, "i")) == "2");
  CHECK(text_of(member(value, "f")) == "1.5");
  CHECK(text_of(member(value, "t")) == "true");
  for (const char* name : {"n", "l", "o", "missing"}) {
    INFO(name);
    CHECK_FALSE(text_of(member(value, name)).has_value());
  }
}

TEST_CASE("truth is what Perl takes for it") {
  for (const char* text : {"null", "\"\"", "\"0\"", "0", "0.0", "false"}) {
    INFO(text);
    const json::value value = parsed(text);
    CHECK_FALSE(truth_of(&value, true));
  }
  for (const char* text : {"true", "1", "-1", "0.5", "\"00\"", "\"false\"", "[]", "{}"}) {
    INFO(text);
    const json::value value = parsed(text);
    CHECK(truth_of(&value, false));
  }
  CHECK(truth_of(nullptr, true));
  CHECK_FALSE(truth_of(nullptr, false));
}

TEST_CASE("a member is found in objects only") {
  CHECK(member(parsed("[1]"), "a") == nullptr);
  CHECK(member(parsed("{\"b\":1}"), "a") == nullptr);
}
