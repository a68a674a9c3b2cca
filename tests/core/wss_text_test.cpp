#include <catch2/catch.hpp>
#include <gorgone/wss_text.hpp>

using namespace gorgone;
using wss::decode_entities;
using wss::encode_entities;

TEST_CASE("what deployed nodes encode is encoded, byte by byte, and nothing else") {
  CHECK(encode_entities(R"([PONG] [ab] [] {"a":'1',"b":"<x & y>"})") ==
        "[PONG] [ab] [] {&quot;a&quot;:&#39;1&#39;,&quot;b&quot;:&quot;&lt;x &amp; y&gt;&quot;}");
  CHECK(encode_entities("\xC3\xA9\x01\x7F") == "&#195;&#169;&#1;&#127;");
  const std::string plain = "azAZ09 \t\r\n!#$%()*+,-./:;=?@[\\]^_`{|}~";
  CHECK(encode_entities(plain) == plain);
}

TEST_CASE("every byte comes back from its entity") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const auto encoded = encode_entities(all);
  CHECK(std::none_of(encoded.begin(), encoded.end(), [](char c) { return static_cast<unsigned char>(c) > 126; }));
  CHECK(decode_entities(encoded) == all);
}

TEST_CASE("names of Latin-1 and hexadecimal numbers are decoded, to bytes that are UTF-8 or Latin-1 in JSON") {
  CHECK(decode_entities("{&quot;a&quot;:&quot;&Atilde;&copy;&quot;}") == "{\"a\":\"\xC3\xA9\"}");
  CHECK(decode_entities("&eacute;&#xE9;&#233;") == "\xE9\xE9\xE9");
  CHECK(to_utf8(decode_entities("&eacute;")) == "\xC3\xA9");
  CHECK(decode_entities("&nbsp;&yuml;") == "\xA0\xFF");
  CHECK(decode_entities("&#8364;&#x1F600;&#2047;") == "\xE2\x82\xAC\xF0\x9F\x98\x80\xDF\xBF");
}

TEST_CASE("text that is not encoded is taken as it is, also where it speaks of entities") {
  const std::string text = R"([SETLOGS] [t] [] {"data":"&quot; &amp; &#39;"})";
  CHECK(decode_entities(text) == text);
  CHECK(decode_entities("a < b &amp; c") == "a < b &amp; c");
}

TEST_CASE("an ampersand that begins no entity stays") {
  for (const std::string text : {"&", "&&", "&;", "&#;", "&#x;", "&#xD800;", "&#1114112;", "&#99999999999;", "&nothing;", "&amp",
                                 "a & b; c", "&averyveryverylongname;"})
    CHECK(decode_entities(text) == text);
}

TEST_CASE("a message has a third bracket or none") {
  const auto request = wss::read_message(R"([COMMAND] [tok] [7] {"content":[]})");
  REQUIRE(request);
  CHECK(request->action == "COMMAND");
  CHECK(request->token == "tok");
  CHECK(request->target == "7");
  CHECK(request->data.text() == R"({"content":[]})");
  const auto answer = wss::read_message(R"([ACK] [tok] {"code":0,"data":[1]})");
  REQUIRE(answer);
  CHECK(answer->target.empty());
  CHECK(answer->data.text() == R"({"code":0,"data":[1]})");
  CHECK_FALSE(wss::read_message(R"({"code":500,"message":"x"})"));
  CHECK_FALSE(wss::read_message("[COMMAND]"));
  CHECK_FALSE(wss::read_message(""));
}

TEST_CASE("what goes into a WebSocket is UTF-8 even where the data is not") {
  CHECK(wss::write_request(Message{"X", "t", "", Payload("{\"a\":\"\xE9\"}"), {}}) == "[X] [t] [] {\"a\":\"\xC3\xA9\"}");
  CHECK(wss::write_answer(Answer{"ACK", "t", 1, Payload("null")}) == R"([ACK] [t] {"code":1,"data":null})");
  CHECK(wss::write_answer(Answer{"SETLOGS", "t", 0, Payload("{}")}) == R"([SETLOGS] [t] [] {"code":0,"data":{}})");
}

TEST_CASE("a refusal tells its message, and nothing else is taken for one") {
  CHECK(wss::read_refusal(wss::write_refusal("please \"registernodes\"")) == "please \"registernodes\"");
  CHECK(wss::read_refusal(R"({"code":500,"message":"token authorization unallowed"})") == "token authorization unallowed");
  CHECK_FALSE(wss::read_refusal(R"([PING] [] [] {"code":1,"message":"x"})"));
  CHECK_FALSE(wss::read_refusal(R"({"message":"x"})"));
  CHECK_FALSE(wss::read_refusal("{"));
}
