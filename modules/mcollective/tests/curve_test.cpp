#include "machine_fixture.hpp"
#include "out_queue.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;

namespace {

const KeyPair& broker_keys() {
  static const KeyPair keys = new_key_pair();
  return keys;
}

struct Shaken : Machine {
  explicit Shaken(std::size_t message_bytes_max = 1 << 20) : Machine(&broker_keys(), message_bytes_max) { shake_hands(client); }
  KeyPair keys = new_key_pair();
  CurveClient client{keys.public_key, keys.secret_key, broker_keys().public_key};
};

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  return bytes;
}

std::string text_of_size(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 256);
  return text;
}

const unsigned char* bytes(const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

TEST_CASE("a box of NaCl's own test is sealed and opened as NaCl has it") {
  const auto shared = from_hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
  const auto prefix = from_hex("69696ee955b62b73cd62bda875fc73d6");
  const auto text = from_hex(
      "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3b"
      "e8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705");
  const auto sealed = from_hex(
      "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2"
      "c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622"
      "a43d14a6599b1f654cb45a74e355a5");
  const BoxKey key(bytes(shared), prefix);
  std::string box(text.size() + BoxKey::tag_size, '\0');
  key.seal(box.data(), static_cast<unsigned char>(text[0]), std::string_view(text).substr(1), 0x8219e0036b7a0b37);
  CHECK(box == sealed);
  unsigned char first = 0;
  std::string rest;
  REQUIRE(key.open(sealed, 0x8219e0036b7a0b37, first, rest));
  CHECK(static_cast<char>(first) + rest == text);
  CHECK_FALSE(key.open(sealed, 0x8219e0036b7a0b38, first, rest));
}

TEST_CASE("boxes of all sizes are those of crypto_box, whole and in pieces") {
  const auto shared = text_of_size(32);
  const std::string prefix = "CurveZMQMESSAGEC";
  const BoxKey key(bytes(shared), prefix);
  for (const std::size_t size : {0, 1, 30, 31, 32, 33, 63, 64, 65, 94, 95, 96, 127, 128, 129, 1000, 16384, 70000, 100001}) {
    INFO("size " << size);
    const auto text = '\3' + text_of_size(size);
    const auto nonce = prefix + number(size + 1);
    std::string expected(text.size() + crypto_box_MACBYTES, '\0');
    REQUIRE(crypto_box_easy_afternm(reinterpret_cast<unsigned char*>(expected.data()), bytes(text), text.size(), bytes(nonce),
                                    bytes(shared)) == 0);
    std::string box(expected.size(), '\0');
    key.seal(box.data(), 3, text_of_size(size), size + 1);
    CHECK(box == expected);
    unsigned char first = 0;
    std::string rest;
    CHECK(key.open(expected, size + 1, first, rest));
    CHECK(static_cast<char>(first) + rest == text);
    expected.back() = static_cast<char>(expected.back() ^ 1);
    CHECK_FALSE(key.open(expected, size + 1, first, rest));
    if (size < 64) continue;

    for (const std::size_t piece : {1, 63, 64, 1000, 65536}) {
      BoxOpener opener(key, size + 1, std::string_view(box).substr(0, BoxOpener::start_size));
      for (std::size_t at = BoxOpener::start_size; at < box.size(); at += piece) opener.add(std::string_view(box).substr(at, piece));
      CHECK(opener.finish());
      CHECK(static_cast<char>(opener.first()) + opener.rest() == text);
    }
    const auto whole = text_of_size(size);
    BoxSealer sealer(key, size + 1, 3, whole);
    while (!sealer.prepare(20000)) {
    }
    std::string pieces, part(10000, '\0');
    while (sealer.left() > 0) pieces += part.substr(0, sealer.read(part.data(), part.size()));
    CHECK(pieces == box);
  }
}

TEST_CASE("a handshake and messages come through one byte at a time") {
  const auto keys = new_key_pair();
  CurveClient client(keys.public_key, keys.secret_key, broker_keys().public_key);
  Machine machine(&broker_keys());
  machine.shake_hands(client, "web1 1 #<Thread>", 1);
  REQUIRE(machine.peer);
  CHECK(machine.peer->routing_id == "web1 1 #<Thread>");
  CHECK(machine.peer->key == keys.public_key);
  CHECK(machine.server.is_ready());
  CHECK(machine.server.answers_ping());
  const auto body = text_of_size(70000);
  machine.feed(client.message("", 1), 1);
  machine.feed(client.message("PUT", 1), 1);
  machine.feed(client.message(body), 1);
  CHECK_FALSE(machine.why);
  REQUIRE(machine.messages.size() == 1);
  CHECK(machine.messages[0] == Frames{"", "PUT", body});
}

TEST_CASE("commands of a handshake that come twice, or from another connection, end it") {
  const auto keys = new_key_pair();
  CurveClient client(keys.public_key, keys.secret_key, broker_keys().public_key);
  Machine machine(&broker_keys());
  machine.feed(greeting("CURVE"));
  const auto hello = client.hello();
  machine.feed(hello);
  SECTION("HELLO") {
    machine.feed(hello);
    CHECK(holds(machine.why, "INITIATE was expected"));
  }
  SECTION("INITIATE, after it") {
    REQUIRE(client.on_welcome(machine.sent));
    const auto initiate = client.initiate(properties("web1"));
    machine.feed(initiate);
    REQUIRE(machine.server.is_ready());
    machine.feed(initiate);
    CHECK(machine.why.has_value());
  }
  SECTION("all of it, on a new connection") {
    REQUIRE(client.on_welcome(machine.sent));
    const auto initiate = client.initiate(properties("web1"));
    Machine another(&broker_keys());
    another.feed(greeting("CURVE") + hello);
    CHECK_FALSE(another.why);
    another.feed(initiate);
    CHECK(holds(another.why, "cookie"));
    CHECK_FALSE(another.peer);
  }
  SECTION("INITIATE with another cookie") {
    REQUIRE(client.on_welcome(machine.sent));
    client.cookie()[95] = static_cast<char>(client.cookie()[95] ^ 1);
    machine.feed(client.initiate(properties("web1")));
    CHECK(holds(machine.why, "cookie"));
  }
}

TEST_CASE("a client that has not the secret of the key it shows is told that it is refused") {
  const auto shown = new_key_pair(), own = new_key_pair();
  CurveClient client(shown.public_key, own.secret_key, broker_keys().public_key);
  Machine machine(&broker_keys());
  machine.feed(greeting("CURVE") + client.hello());
  REQUIRE(client.on_welcome(std::exchange(machine.sent, {})));
  machine.feed(client.initiate(properties("web1")));
  CHECK(holds(machine.why, "does not prove"));
  CHECK_FALSE(machine.peer);
  CHECK(machine.sent == frame(std::string("\5ERROR\3") + "400", 4));
}

TEST_CASE("a client that knows another server key is told that it is refused") {
  const auto keys = new_key_pair();
  CurveClient client(keys.public_key, keys.secret_key, new_key_pair().public_key);
  Machine machine(&broker_keys());
  machine.feed(greeting("CURVE") + client.hello());
  CHECK(holds(machine.why, "another server key"));
  CHECK(machine.sent == frame(std::string("\5ERROR\3") + "400", 4));
}

TEST_CASE("a client that is refused hears ERROR 400 in place of READY, and nothing of it is taken") {
  const auto keys = new_key_pair();
  CurveClient client(keys.public_key, keys.secret_key, broker_keys().public_key);
  Machine machine(&broker_keys());
  machine.refuse = "its key is revoked";
  machine.feed(greeting("CURVE") + client.hello());
  REQUIRE(client.on_welcome(std::exchange(machine.sent, {})));
  machine.feed(client.initiate(properties("web1")) + client.message("early"));
  CHECK(machine.why == "its key is revoked");
  CHECK(machine.sent == frame(std::string("\5ERROR\3") + "400", 4));
  CHECK(machine.messages.empty());
}

TEST_CASE("a message under a nonce that was used ends the connection") {
  Shaken machine;
  const auto nonce = machine.client.nonce();
  machine.feed(machine.client.message_under(nonce + 5, "one"));
  REQUIRE(machine.messages.size() == 1);
  const auto again = GENERATE(0, 1, 5);
  machine.feed(machine.client.message_under(nonce + static_cast<std::uint64_t>(again), "two"));
  CHECK(holds(machine.why, "nonce"));
  CHECK(machine.messages.size() == 1);
}

TEST_CASE("a frame that was changed on the way ends the connection, however long it is") {
  const auto size = GENERATE(0, 10, 1000, 100000);
  Shaken machine;
  auto message = machine.client.message(text_of_size(static_cast<std::size_t>(size)));
  const auto at = GENERATE(1U, 17U);  // the end of the text, the middle of the tag of a short one
  message[message.size() - at] = static_cast<char>(message[message.size() - at] ^ 4);
  machine.feed(message, 999);
  CHECK(holds(machine.why, "not sealed for this connection"));
  CHECK(machine.messages.empty());
}

TEST_CASE("PING and PONG come through their seal") {
  Shaken machine;
  machine.feed(machine.client.message(std::string("\4PING\0\0", 7) + "abc", 2));
  machine.feed(machine.client.message("\4PONG12345678", 2));
  CHECK(machine.pings == std::vector<std::string>{"abc"});
  CHECK(machine.pongs == std::vector<std::string>{"12345678"});
}

TEST_CASE("a sealed message over the limit is refused when it is announced, one at the limit is taken") {
  Shaken machine(1000);
  machine.feed(machine.client.message(std::string(400, 'a'), 1));
  machine.feed(machine.client.message(std::string(600, 'b')));
  REQUIRE(machine.messages.size() == 1);
  SECTION("in one frame") {
    machine.feed(machine.client.message(std::string(1001, 'a')).substr(0, 9));
    CHECK(holds(machine.why, "at most 1000 are taken"));
  }
  SECTION("in two") {
    machine.feed(machine.client.message(std::string(400, 'a'), 1));
    machine.feed(machine.client.message(std::string(601, 'b')));
    CHECK(holds(machine.why, "at most 1000 are taken"));
  }
}

TEST_CASE("an answer goes ahead of every message that has not been begun, and alone while messages are held") {
  OutQueue queue;
  std::string part(OutQueue::portion, '\0');
  const auto shared = [](Frames frames) { return std::make_shared<const Frames>(std::move(frames)); };
  const auto made = [&] { return part.substr(0, queue.make(part.data())); };
  const std::string big(100000, 'x');
  CHECK(queue.push(shared({"one"})) == 1);
  CHECK(queue.push(shared({"two", big, "end"})) == 2);
  CHECK(queue.push(shared({"three"})) == 3);
  auto wire = made();
  queue.push_answer(shared({"ok 1"}));
  queue.push_answer(shared({"ok 2"}));
  CHECK(queue.waiting().messages == 3);
  CHECK(queue.waiting().answers == 2);
  SECTION("not held") {
    while (queue.has_work()) wire += made();
    CHECK((wire == frame("one") + frame("two", 1) + frame(big, 1) + frame("end") + frame("ok 1") + frame("ok 2") + frame("three")));
    CHECK(queue.sent() == 5);
  }
  SECTION("held") {
    queue.hold(true);
    queue.push_ping();
    while (queue.has_work()) wire += made();
    CHECK((wire == frame("one") + frame("two", 1) + frame(big, 1) + frame("end") + frame("ok 1") + frame("ok 2")));
    CHECK(queue.sent() == 4);
    CHECK(queue.waiting().messages == 1);
    CHECK(queue.waiting().sent == 2);
    queue.push_answer(shared({"ok 3"}));
    CHECK(made() == frame("ok 3"));
    CHECK_FALSE(queue.has_work());
    queue.hold(false);
    CHECK(made().starts_with(frame("three")));
    CHECK(queue.sent() == 2);
  }
  CHECK(queue.waiting().messages == 0);
  CHECK(queue.waiting().answers == 0);
  CHECK(queue.waiting().bytes == 0);
  CHECK(queue.sent_messages() == 3);
}

TEST_CASE("what is queued is sealed so that the client can open it, short and long, commands between messages") {
  Shaken machine;
  OutQueue queue;
  queue.set_key(machine.server.sending_key());
  const auto middle = text_of_size(60000), big = text_of_size(300000);
  CHECK(queue.push(std::make_shared<const Frames>(Frames{"", "MESSAGE", middle})) == 1);
  CHECK(queue.push(std::make_shared<const Frames>(Frames{big, "end"})) == 2);
  queue.push_ping();
  queue.set_pong("old");
  CHECK(queue.waiting().messages == 2);
  CHECK(queue.waiting().bytes == 7 + 60000 + 300000 + 3);

  std::string wire, part(OutQueue::portion, '\0');
  while (queue.has_work()) {
    const auto size = queue.make(part.data());
    REQUIRE(size <= part.size());
    wire += part.substr(0, size);
    if (wire.size() < 100000) queue.set_pong("new");
  }
  CHECK(queue.waiting().messages == 2);
  queue.sent();
  CHECK(queue.waiting().messages == 0);
  CHECK(queue.waiting().bytes == 0);

  std::vector<std::string> frames;
  std::string_view left = wire;
  while (!left.empty()) {
    const std::size_t head = (left[0] & 2) != 0 ? 9 : 2;
    std::size_t size = 0;
    for (std::size_t i = 1; i < head; ++i) size = size << 8 | static_cast<unsigned char>(left[i]);
    std::string text;
    REQUIRE(machine.client.open_message(text, left.substr(head, size)));
    frames.push_back(text);
    left.remove_prefix(head + size);
  }
  using std::string;
  const std::vector<std::string> expected{string("\1"), string("\1MESSAGE"), '\0' + middle,
                                          '\1' + big,   string("\0end", 4),  string("\2\4PING\0\0", 8) + number(2)};
  std::vector<std::string> messages;
  std::size_t pongs = 0;
  for (const auto& each : frames) {
    if (each.starts_with("\2\4PONG"))
      ++pongs;
    else
      messages.push_back(each);
  }
  CHECK(messages == expected);
  CHECK(pongs >= 1);
}
