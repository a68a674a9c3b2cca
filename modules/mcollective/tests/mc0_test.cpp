#include <catch2/catch.hpp>

#include "broker_world.hpp"
#include "session_record.hpp"

using namespace gorgone::mcollective;
using test::line_of;

TEST_CASE("a command is its verb, its headers and what stands behind the empty frame") {
  const auto parsed = parse_command({"", "PUT", "TOPIC", "a b", "X-REPLY-TO", "r", "", "body", "", "more"});
  REQUIRE_FALSE(parsed.fault.has_value());
  CHECK(parsed.command.verb == "PUT");
  REQUIRE(parsed.command.header("X-REPLY-TO"));
  CHECK(*parsed.command.header("X-REPLY-TO") == "r");
  CHECK(parsed.command.header("ID") == nullptr);
  CHECK(parsed.command.body == Frames{"body", "", "more"});
}

TEST_CASE("an empty value is a value, and headers may be absent") {
  const auto parsed = parse_command({"", "SUB", "ID", "", "", "t"});
  REQUIRE_FALSE(parsed.fault.has_value());
  REQUIRE(parsed.command.header("ID"));
  CHECK(parsed.command.header("ID")->empty());
  CHECK(parsed.command.body == Frames{"t"});
  CHECK_FALSE(parse_command({"", "NOOP"}).fault.has_value());
}

TEST_CASE("what is no command is told with what was expected, and its ID is known where it was given") {
  CHECK(parse_command({}).fault.has_value());
  CHECK(parse_command({""}).fault.has_value());
  CHECK(parse_command({"PUT", "TOPIC", "t"}).fault.value_or("").find("delimiter") != std::string::npos);
  const auto odd = parse_command({"", "SUB", "ID", "7", "TOPIC"});
  CHECK(odd.fault.value_or("").find("header TOPIC has no value") != std::string::npos);
  REQUIRE(odd.command.header("ID"));
  CHECK(*odd.command.header("ID") == "7");
  CHECK(parse_command({"", "PUT", "TOPIC", "a", "TOPIC", "b"}).fault.value_or("").find("twice") != std::string::npos);
}

TEST_CASE("headers without end are refused") {
  Frames frames{"", "PUT"};
  for (std::size_t i = 0; i < headers_max + 1; ++i) {
    frames.push_back("K" + std::to_string(i));
    frames.emplace_back("v");
  }
  CHECK(parse_command(frames).fault.has_value());
  CHECK(parse_command({"", "PUT", "TOPIC", std::string(header_bytes_max, 'x')}).fault.has_value());
}

TEST_CASE("a MESSAGE has every header of its PUT but the ID, in their order, and all of the body") {
  auto parsed = parse_command({"", "PUT", "A", "1", "ID", "7", "TOPIC", "t", "X-REPLY-TO", "", "", "b", "", "c"});
  CHECK(message_of(parsed.command) == Frames{"", "MESSAGE", "A", "1", "TOPIC", "t", "X-REPLY-TO", "", "", "b", "", "c"});
}

TEST_CASE("answers name the ID of their command, and an ERROR without one has none") {
  CHECK(line_of(ok("7")) == "OK ID 7");
  const std::string id = "7";
  CHECK(line_of(error("no", &id)) == "ERROR MESSAGE no ID 7");
  CHECK(line_of(error("no", nullptr)) == "ERROR MESSAGE no");
}

TEST_CASE("a session that was written is read as it was, and a broken one is an error") {
  const SessionRecord session{
      "key", "0.2", 30000, 1795000000, {17, 1795000000123456, true}, {"mcollective * *", std::string_view("a\0b", 3), ""}};
  const auto text = write_session(session);
  const auto read = read_session(text);
  REQUIRE(read.has_value());
  CHECK(read->key == "key");
  CHECK(read->version == "0.2");
  CHECK(read->ttl_ms == 30000);
  CHECK(read->away_s == 1795000000);
  CHECK(read->claim.number == 17);
  CHECK(read->claim.made_us == 1795000000123456);
  CHECK(read->claim.is_alone);
  CHECK(read->topics == session.topics);
  for (std::size_t size : {std::size_t{0}, std::size_t{3}, text.size() - 1}) CHECK_FALSE(read_session(text.substr(0, size)).has_value());
  CHECK_FALSE(read_session("9" + text.substr(1)).has_value());
  CHECK(read_session("\3" + text.substr(1)).has_value());  // as it was written before there were parts
}
