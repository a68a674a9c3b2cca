#include "core/wire/text.hpp"

#include <gorgone/base64.hpp>

#include <catch2/catch.hpp>

#include <chrono>

#include "tests/support/pace.hpp"

using namespace gorgone;
using namespace gorgone::wire;

TEST_CASE("a request has three brackets and its data") {
  const auto message = parse_request(R"([COMMAND] [tok-1] [7] {"content":[1]})");
  REQUIRE(message);
  CHECK(message->action == "COMMAND");
  CHECK(message->token == "tok-1");
  CHECK(*message->target == "7");
  CHECK(message->data == R"({"content":[1]})");
}

TEST_CASE("tabs, line breaks and many spaces may stand between the brackets of a request") {
  const auto message = parse_request("[PING]\t[a]  \n[] \t{}");
  REQUIRE(message);
  CHECK(message->token == "a");
  CHECK(message->target->empty());
  CHECK(message->data == "{}");
}

TEST_CASE("a request without white space after its third bracket is not well formatted") {
  CHECK_FALSE(parse_request("[PING] [a] []"));
  CHECK_FALSE(parse_request("[PING] [a] {}"));
  CHECK_FALSE(parse_request("[PING]"));
  CHECK_FALSE(parse_request("[] [a] [] {}"));
  CHECK(parse_request("[PING] [a] [] "));
}

TEST_CASE("a token may hold anything but a line break and the end of its bracket") {
  const auto message = parse_request("[PING] [a b/c:d]e] [] {}");
  REQUIRE(message);
  CHECK(message->token == "a b/c:d]e");
  CHECK_FALSE(parse_request("[PING] [a\nb] [] {}"));
}

TEST_CASE("an answer has two brackets or an empty third one") {
  const auto ack = parse_answer(R"([ACK] [t] {"code":0,"data":null})");
  REQUIRE(ack);
  CHECK_FALSE(ack->target);
  CHECK(ack->data == R"({"code":0,"data":null})");
  const auto pong = parse_answer(R"([PONG] [t] [] {"code":0})");
  REQUIRE(pong);
  CHECK(pong->target->empty());
  CHECK(pong->data == R"({"code":0})");
  const auto list = parse_answer("[X] [t] [1,2]");
  REQUIRE(list);
  CHECK_FALSE(list->target);
  CHECK(list->data == "[1,2]");
}

TEST_CASE("only PONG and SYNCLOGS carry an empty target bracket") {
  CHECK(format_answer(Answer{"ACK", "t", 1, Payload("null")}) == R"([ACK] [t] {"code":1,"data":null})");
  CHECK(format_answer(Answer{"PONG", "t", 0, Payload("{}")}) == R"([PONG] [t] [] {"code":0,"data":{}})");
  CHECK(format_answer(Answer{"SYNCLOGS", "t", 0, Payload("{}")}) == R"([SYNCLOGS] [t] [] {"code":0,"data":{}})");
}

TEST_CASE("a request is written with a JSON value even where there is nothing to say") {
  CHECK(format_request(Message{"PING", "t", "", Payload(""), {}}) == "[PING] [t] [] {}");
  CHECK(format_request(Message{"PING", "", "9", Payload(), {}}) == "[PING] [] [9] {}");
}

TEST_CASE("raw bytes stand behind their data for peers that take them, and are in it as base64 for all others") {
  const std::string bytes("\0]\xFF [x] \0{}", 11);
  const Message message{"CONTENTDATA", "tok", "2", Payload(R"({"token":"a}b"})", bytes)};
  CHECK(form_for(message, false) == Form::base64);
  CHECK(format_request(message) == R"([CONTENTDATA] [tok] [2] {"token":"a}b","bytes":")" + base64_encode(bytes) + "\"}");
  REQUIRE(form_for(message, true) == Form::raw);
  const auto text = format_request(message, Form::raw);
  const auto parsed = parse_request(text);
  REQUIRE(parsed);
  const auto data = read_data(std::string(parsed->data));
  CHECK(data.head() == R"({"token":"a}b"})");
  REQUIRE(data.bytes());
  CHECK(*data.bytes() == bytes);
  CHECK(data.size() == 15 + bytes.size());
  const auto read = data.json();
  REQUIRE(read.has_value());
  CHECK(base64_decode(text_of(member(**read, "bytes")).value()) == bytes);
  CHECK(form_for(Message{"PING", "t", "", Payload("{}")}, true) == Form::base64);
}

TEST_CASE("data that only begins as raw bytes do is text") {
  for (const auto& data : {std::string("\0{}", 3), std::string("{}\0x", 4), std::string()}) {
    CHECK_FALSE(read_data(data).bytes());
    CHECK(read_data(data).text() == data);
  }
}

TEST_CASE("a decrypted text counts only where an action in brackets begins it") {
  CHECK(looks_like_message("[PING] [] [] {}"));
  CHECK(looks_like_message("[a-b_C9]"));
  CHECK_FALSE(looks_like_message(" [PING] [] [] {}"));
  CHECK_FALSE(looks_like_message("[] [] [] {}"));
  CHECK_FALSE(looks_like_message("[PI NG] [] [] {}"));
  CHECK_FALSE(looks_like_message("hello"));
}

TEST_CASE("HELO is read from its last three brackets, with junk before and one line break after") {
  const auto helo = parse_helo("junk [gorgone-proxy-1-2] [cGVt] [c2VhbGVk]\n");
  REQUIRE(helo);
  CHECK(helo->name == "gorgone-proxy-1-2");
  CHECK(helo->client_pem == "pem");
  CHECK(helo->sealed == "sealed");
  CHECK(parse_helo("[n] [cGVt\ncGVt] [c2Vh\nbGVk]"));
  CHECK_FALSE(parse_helo("[n] [cGVt] [c2VhbGVk] "));
  CHECK_FALSE(parse_helo("[n][cGVt] [c2VhbGVk]"));
  CHECK_FALSE(parse_helo("[cGVt] [c2VhbGVk]"));
  CHECK_FALSE(parse_helo(""));
}

TEST_CASE("a HELO of brackets is refused in linear time") {
  const auto begin = std::chrono::steady_clock::now();
  for (const auto* unit : {"[", "]", "[] ", "] [", "[x] "}) {
    std::string frame;
    while (frame.size() < 4'000'000) frame += unit;
    (void)parse_helo(frame);
    (void)parse_request(frame);
    (void)parse_answer(frame);
  }
  // Quadratic work on 4 MB would take hours; the bound is no measurement.
  CHECK(std::chrono::steady_clock::now() - begin < test::slowness() * std::chrono::seconds(30));
}

TEST_CASE("a KEY message is read back as it was written, with padding as number or text") {
  const KeyText key{"poller", std::string(32, '\x01'), std::string(16, '\xfe'), "AES", 1};
  const auto back = parse_key(format_key(key));
  REQUIRE(back.has_value());
  CHECK(back->key == key.key);
  CHECK(back->iv == key.iv);
  CHECK(back->hostname == "poller");
  const auto text_padding = parse_key(R"([KEY] {"hostname":"x","key":"00","iv":"01","cipher":"AES","padding":"1"})");
  REQUIRE(text_padding.has_value());
  CHECK(text_padding->padding == 1);
}

TEST_CASE("a KEY message with a member missing or wrong names it") {
  CHECK(parse_key(R"([KEY] {"iv":"01","cipher":"AES"})").error().message.find("\"key\"") != std::string::npos);
  CHECK(parse_key(R"([KEY] {"key":"0g","iv":"01","cipher":"AES"})").error().message.find("\"key\"") != std::string::npos);
  CHECK(parse_key(R"([KEY] {"key":"00","iv":"01","cipher":"DES"})").error().message.find("DES") != std::string::npos);
  CHECK_FALSE(parse_key("[KEY] {").has_value());
  CHECK_FALSE(parse_key("[PONG] {}").has_value());
}

TEST_CASE("GETPUBKEY may have white space before it") {
  CHECK(is_get_pubkey(" \n[GETPUBKEY]"));
  CHECK_FALSE(is_get_pubkey("x[GETPUBKEY]"));
  CHECK(parse_pubkey(format_pubkey("some pem")) == "some pem");
  CHECK_FALSE(parse_pubkey("[PUBKEY]"));
}
