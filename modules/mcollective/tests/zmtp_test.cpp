#include "machine_fixture.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;

namespace {

std::optional<std::string> outcome_of(std::string_view bytes, const KeyPair* keys = nullptr) {
  Machine machine(keys);
  machine.feed(bytes);
  CHECK_FALSE(machine.server.is_ready());
  return machine.why;
}

struct Greeted : Machine {
  explicit Greeted(std::size_t message_bytes_max = 1000) : Machine(nullptr, message_bytes_max) {
    feed(greeting("NULL") + null_ready(properties("web1")));
    REQUIRE(server.is_ready());
  }
};

}  // namespace

TEST_CASE("who speaks something else than ZMTP 3 is told apart as soon as it can be seen") {
  CHECK(holds(outcome_of("GET / HTTP/1.1\r\n"), "it greets with \"GET / HTTP/1.1"));
  CHECK(holds(outcome_of(std::string("\x01\x00", 2)), "does not speak ZeroMQ"));
  CHECK(holds(outcome_of(std::string("\xff\0\0\0\0\0\0\0\1\0", 10)), "ZMTP 1"));
  CHECK(holds(outcome_of(std::string("\xff\0\0\0\0\0\0\0\1\x7f\1\5", 12)), "ZMTP 1"));
  CHECK(holds(outcome_of(std::string("\xff\0\0\0\0\0\0\0\1\x7f\2\0", 12)), "ZMTP 2"));
  CHECK_FALSE(outcome_of(greeting("NULL").substr(0, 63)));
}

TEST_CASE("a client with another mechanism is refused by its name") {
  CHECK(holds(outcome_of(greeting("CURVE")), "\"CURVE\", expected NULL"));
  CHECK(holds(outcome_of(greeting("NULLX")), "\"NULLX\", expected NULL"));
  const auto keys = new_key_pair();
  CHECK(holds(outcome_of(greeting("NULL"), &keys), "\"NULL\", expected CURVE"));
  CHECK(holds(outcome_of(greeting("PLAIN"), &keys), "\"PLAIN\", expected CURVE"));
}

TEST_CASE("sockets that have no business with a ROUTER are refused, those that have are not") {
  for (const auto* type : {"SUB", "PUSH", "PAIR", "dealer", ""}) {
    INFO(type);
    CHECK(holds(outcome_of(greeting("NULL") + null_ready(properties("web1", type))), "expected DEALER, REQ or ROUTER"));
  }
  for (const auto* type : {"DEALER", "REQ", "ROUTER"}) {
    Machine machine(nullptr);
    machine.feed(greeting("NULL") + null_ready(properties("web1", type)));
    CHECK(machine.server.is_ready());
    CHECK(machine.sent == frame(std::string("\5READY") + property("Socket-Type", "ROUTER") + property("Identity", ""), 4));
  }
}

TEST_CASE("routing ids that are none, and torn properties, are refused") {
  CHECK(holds(outcome_of(greeting("NULL") + null_ready(properties(std::string("\0abc", 4)))), "routing id"));
  CHECK(holds(outcome_of(greeting("NULL") + null_ready(properties(std::string(256, 'a')))), "routing id"));
  const auto whole = properties("web1");
  for (std::size_t size = 1; size < whole.size(); ++size) {
    if (size == property("Socket-Type", "DEALER").size()) continue;
    INFO("cut after " << size);
    CHECK(holds(outcome_of(greeting("NULL") + null_ready(whole.substr(0, size))), "torn"));
  }
  Machine machine(nullptr);
  machine.feed(greeting("NULL") + null_ready(properties(std::string(255, 'a'))));
  CHECK(machine.server.is_ready());
}

TEST_CASE("a client that says too much too early is not listened to") {
  const auto start = greeting("NULL");
  CHECK(holds(outcome_of(start + frame("hello")), "before it was ready"));
  CHECK(holds(outcome_of(start + frame("\5HELLO", 4)), "READY was expected"));
  CHECK(holds(outcome_of(start + "\6" + number(4097)), "4097 bytes, at most 4096"));
  CHECK(holds(outcome_of(start + "\x08\x01x"), "no frame of ZMTP: flags 0x8"));
  CHECK(holds(outcome_of(start + frame("", 4)), "READY was expected"));
}

TEST_CASE("messages come whole whatever the pieces, and what follows the handshake at once is not lost") {
  const auto piece = GENERATE(1U, 3U, 64U, 1000000U);
  Machine machine(nullptr, 1 << 20);
  const std::string big(200000, 'x');
  machine.feed(greeting("NULL") + null_ready(properties("")) + frame("", 1) + frame("one", 1) + frame(big) + frame("two"), piece);
  CHECK(machine.messages == std::vector<Frames>{{"", "one", big}, {"two"}});
  REQUIRE(machine.peer);
  CHECK(machine.peer->routing_id.empty());
}

TEST_CASE("a message over the limit is refused: in one frame, in many, and by the number of its frames") {
  Greeted machine;
  machine.feed(frame(std::string(500, 'a'), 1) + frame(std::string(500, 'a')));
  CHECK(machine.messages.size() == 1);
  SECTION("one frame, when it is announced") { machine.feed("\2" + number(1001)); }
  SECTION("a size that no memory has") { machine.feed("\2" + number(~std::uint64_t{0})); }
  SECTION("many frames") {
    for (int i = 0; i < 11; ++i) machine.feed(frame(std::string(100, 'a'), 1));
  }
  SECTION("empty frames") {
    std::string frames;
    for (int i = 0; i < 3000; ++i) frames += frame("", 1);
    machine.feed(frames);
  }
  CHECK(holds(machine.why, "1000"));
  CHECK(machine.messages.size() == 1);
}

TEST_CASE("commands between messages are taken where they are known and passed over where not") {
  Greeted machine;
  machine.feed(frame(std::string("\4PING\0\1", 7) + "abcdefghijklmnopqrstuvwxyz", 4) + frame("\4PONG", 4) + frame("\11SUBSCRIBEx", 4) +
               frame("", 4) + frame("a"));
  CHECK(machine.pings == std::vector<std::string>{"abcdefghijklmnop"});
  CHECK(machine.pongs == std::vector<std::string>{""});
  CHECK(machine.messages == std::vector<Frames>{{"a"}});
  machine.feed(
      frame("\5ERROR\3"
            "400",
            4));
  CHECK(holds(machine.why, "ERROR"));
}
