#include <gorgone/message.hpp>

#include <catch2/catch.hpp>

using namespace gorgone;

namespace {

Message wrapped(const std::string& text) { return Message{"DELIVER", "id", "4", Payload(text), Origin{Origin::Kind::client, "gorgone-x"}}; }

}  // namespace

TEST_CASE("a message comes out of its wrapping as it went in, whatever its data") {
  for (const char* data : {R"({"content":[{"command":"a"}]})", "{}", "{\n\"pretty\": 1\n}", "\xe4 no JSON"}) {
    Message message{"COMMAND", "token", "4", Payload(data)};
    message.delivery = "0123";
    const auto wrapping = wrap_delivery(message, 60);
    CHECK(wrapping.action == "DELIVER");
    CHECK(wrapping.token == "0123");
    const auto back = unwrap_delivery(wrapping);
    REQUIRE(back.has_value());
    CHECK(back->action == "COMMAND");
    CHECK(back->token == "token");
    CHECK(back->target == "4");
    CHECK(back->delivery == "0123");
    CHECK(back->ttl_s == 60);
    CHECK(back->data.text() == data);
  }
}

TEST_CASE("what is no wrapped message, or a wrapping in a wrapping, is refused") {
  for (const char* text : {"", "{}", "{}\n{}", "\n{}", R"({"action":"COMMAND","token":"t","ttl":1})", "[1]\n{}", "no JSON\n{}",
                           "{\"action\":\"\",\"token\":\"t\"}\n{}", "{\"action\":\"DELIVER\",\"token\":\"t\"}\n{}"}) {
    INFO(text);
    REQUIRE(unwrap_delivery(wrapped(text)).has_error());
    CHECK(unwrap_delivery(wrapped(text)).error().code == "bad_delivery");
  }
}

TEST_CASE("the time that a message has is bounded, whatever its sender says") {
  auto ttl = [](const std::string& number) {
    return unwrap_delivery(wrapped(R"({"action":"A","token":"t","ttl":)" + number + "}\n{}"))->ttl_s;
  };
  CHECK(ttl("9223372036854775807") == 604800);
  CHECK(ttl("-9223372036854775808") == 0);
  CHECK(ttl("\"x\"") == 0);
}
