#include "core/wire/server_sessions.hpp"

#include <gorgone/base64.hpp>

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::wire;

namespace {

const RsaPrivateKey& server_key() {
  static const auto key = *RsaPrivateKey::generate(2048);
  return key;
}
const RsaPrivateKey& client_key() {
  static const auto key = *RsaPrivateKey::generate(2048);
  return key;
}

constexpr const char* peer = "gorgone-proxy-1-2-abc";

ServerSessions::Config config() {
  ServerSessions::Config config;
  config.hostname = "poller";
  config.pubkey_pem = server_key().public_key().pem();
  config.rotation_s = 60;
  return config;
}

std::string helo(const RsaPrivateKey& client, const std::string& word = "HELO") {
  return format_helo({"gorgone-proxy-1-2", client.public_key().pem(), *server_key().public_key().encrypt(word)});
}

template <class T>
const T* find(const ServerSessions::Steps& steps) {
  for (const auto& step : steps)
    if (const auto* found = std::get_if<T>(&step)) return found;
  return nullptr;
}

// A handshake as a client does it; the session's cipher.
SessionCipher open_session(ServerSessions& sessions, std::int64_t now) {
  const auto begun = sessions.on_frame(peer, helo(client_key()), now);
  const auto* verify = find<ServerSessions::Verify>(begun);
  REQUIRE(verify);
  const auto steps = sessions.on_verified(peer, verify_helo(verify->helo, server_key(), {client_key().public_key().thumbprint()}), now);
  // Nobody has shown yet that the client's key is his.
  CHECK_FALSE(find<ServerSessions::Save>(steps));
  const auto* send = find<ServerSessions::Send>(steps);
  REQUIRE(send);
  const auto key = parse_key(*client_key().decrypt(base64_decode(send->frame)));
  REQUIRE(key.has_value());
  CHECK(key->hostname == "poller");
  return SessionCipher(SessionKey{key->key, key->iv, key->padding});
}

bool refuses(const ServerSessions::Steps& steps) {
  const auto* send = find<ServerSessions::Send>(steps);
  return send && send->frame == handshake_issue && find<ServerSessions::Refused>(steps);
}

}  // namespace

TEST_CASE("the public key is told at any time, to strangers and inside a session") {
  ServerSessions sessions(config());
  const auto steps = sessions.on_frame(peer, " [GETPUBKEY]", 0);
  REQUIRE(find<ServerSessions::Send>(steps));
  CHECK(*parse_pubkey(find<ServerSessions::Send>(steps)->frame) == server_key().public_key().pem());
  const auto cipher = open_session(sessions, 0);
  CHECK(find<ServerSessions::Send>(sessions.on_frame(peer, "[GETPUBKEY]", 0)));
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 0)));
}

TEST_CASE("a request inside a session reaches the router with its origin") {
  ServerSessions sessions(config());
  const auto cipher = open_session(sessions, 0);
  const auto steps = sessions.on_frame(peer, cipher.seal("[COMMAND] [tok] [9] {\"x\":1}"), 5);
  const auto* request = find<ServerSessions::Request>(steps);
  REQUIRE(request);
  CHECK(request->message.action == "COMMAND");
  CHECK(request->message.target == "9");
  CHECK(request->message.origin.id == peer);
  CHECK(sessions.session(peer)->last_time == 5);
}

TEST_CASE("a message that is not well formatted is answered inside the session") {
  ServerSessions sessions(config());
  const auto cipher = open_session(sessions, 0);
  const auto steps = sessions.on_frame(peer, cipher.seal("[PING] [a] []"), 0);
  REQUIRE(find<ServerSessions::Send>(steps));
  CHECK(*cipher.open(find<ServerSessions::Send>(steps)->frame) == R"([ACK] [] {"code":1,"data":{"message":"request not well formatted"}})");
}

TEST_CASE("what no session opens and is no HELO is refused in the clear, and the session stays") {
  ServerSessions sessions(config());
  CHECK(refuses(sessions.on_frame(peer, "AAAAAAAAAAAAAAAAAAAAAA==", 0)));
  const auto cipher = open_session(sessions, 0);
  CHECK(refuses(sessions.on_frame(peer, "not base64 at all", 0)));
  CHECK(refuses(sessions.on_frame(peer, cipher.seal("hello"), 0)));
  CHECK(refuses(sessions.on_frame("gorgone-other", cipher.seal("[PING] [a] [] {}"), 0)));
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 0)));
}

TEST_CASE("a long frame of a stranger is refused without being looked at") {
  ServerSessions sessions(config());
  std::string brackets;
  while (brackets.size() < 131072) brackets += "[x] ";
  const auto steps = sessions.on_frame(peer, brackets + "[a] [b] [c]", 0);
  CHECK(refuses(steps));
  CHECK(find<ServerSessions::Refused>(steps)->why.find("65536") != std::string::npos);
  CHECK_FALSE(find<ServerSessions::Verify>(steps));
}

TEST_CASE("a key that is not listed is refused, and so is a HELO with another word") {
  const auto other = *RsaPrivateKey::generate(2048);
  const std::unordered_set<std::string> listed{client_key().public_key().thumbprint()};
  CHECK_FALSE(verify_helo(*parse_helo(helo(other)), server_key(), listed).has_value());
  CHECK_FALSE(verify_helo(*parse_helo(helo(client_key(), "HOLA")), server_key(), listed).has_value());
  CHECK_FALSE(verify_helo({"n", "no key", "x"}, server_key(), listed).has_value());
  CHECK(verify_helo(*parse_helo(helo(client_key())), server_key(), listed).has_value());
  ServerSessions sessions(config());
  sessions.on_frame(peer, helo(other), 0);
  CHECK(refuses(sessions.on_verified(peer, Error{"not listed"}, 0)));
  CHECK(sessions.size() == 0);
}

TEST_CASE("a second handshake replaces the session") {
  ServerSessions sessions(config());
  const auto first = open_session(sessions, 0);
  const auto second = open_session(sessions, 1);
  CHECK_FALSE(first.key() == second.key());
  CHECK(refuses(sessions.on_frame(peer, first.seal("[PING] [a] [] {}"), 1)));
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, second.seal("[PING] [a] [] {}"), 1)));
}

TEST_CASE("handshakes under verification are bounded in all and to one for each peer") {
  auto small = config();
  small.max_handshakes = 2;
  ServerSessions sessions(small);
  CHECK(find<ServerSessions::Verify>(sessions.on_frame("gorgone-1", helo(client_key()), 0)));
  CHECK(refuses(sessions.on_frame("gorgone-1", helo(client_key()), 0)));
  CHECK(find<ServerSessions::Verify>(sessions.on_frame("gorgone-2", helo(client_key()), 0)));
  CHECK(refuses(sessions.on_frame("gorgone-3", helo(client_key()), 0)));
  sessions.on_verified("gorgone-1", Error{"no"}, 0);
  CHECK(find<ServerSessions::Verify>(sessions.on_frame("gorgone-3", helo(client_key()), 0)));
}

TEST_CASE("a fleet that greets at once is verified one node after the other, and none is refused") {
  auto small = config();
  small.max_handshakes = 2;
  ServerSessions sessions(small);
  sessions.make_room(1000);
  const auto greeting = helo(client_key());
  const auto greet = [&](int number) { return sessions.on_frame("gorgone-" + std::to_string(number), greeting, 0); };
  for (int i = 0; i < 1002; ++i) REQUIRE(find<ServerSessions::Verify>(greet(i)));
  CHECK(refuses(greet(1002)));
}

TEST_CASE("the bytes of handshakes under verification are bounded, and are given back by whoever goes") {
  const auto usual = helo(client_key());
  auto small = config();
  small.max_handshake_bytes = 2 * usual.size();
  ServerSessions sessions(small);
  const auto is_taken = [&](const char* name, const std::string& frame) {
    return find<ServerSessions::Verify>(sessions.on_frame(name, frame, 0)) != nullptr;
  };
  // What stands before the first bracket is passed over.
  CHECK_FALSE(is_taken("gorgone-1", std::string(usual.size() + 1, ' ') + usual));
  CHECK(is_taken("gorgone-1", usual));
  CHECK(is_taken("gorgone-2", usual));
  CHECK_FALSE(is_taken("gorgone-3", usual));
  sessions.give_up("gorgone-1");
  CHECK(is_taken("gorgone-1", usual));
  CHECK_FALSE(is_taken("gorgone-3", usual));
  sessions.on_verified("gorgone-2", client_key().public_key(), 0);
  CHECK(is_taken("gorgone-3", usual));
}

TEST_CASE("a key that is too old is changed under the old one, which is kept for one change and no longer") {
  ServerSessions sessions(config());
  const auto first = open_session(sessions, 0);
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, first.seal("[PING] [a] [] {}"), 0)));
  CHECK(sessions.on_clock(60).send.empty());
  const auto due = sessions.on_clock(61);
  REQUIRE(due.send.size() == 1);
  CHECK(due.save == std::vector<std::string>{peer});
  const auto text = first.open(due.send[0].second);
  REQUIRE(text);
  const auto key = parse_key(*text);
  REQUIRE(key.has_value());
  const SessionCipher second(SessionKey{key->key, key->iv, key->padding});
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, first.seal("[PING] [a] [] {}"), 61)));
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, second.seal("[PING] [a] [] {}"), 61)));
  CHECK(second.open(*sessions.seal(peer, "[PONG] [a] [] {}")) == "[PONG] [a] [] {}");
  CHECK(sessions.on_clock(122).send.size() == 1);
  CHECK(refuses(sessions.on_frame(peer, first.seal("[PING] [a] [] {}"), 122)));
}

TEST_CASE("a session that is used is saved again every five minutes") {
  ServerSessions sessions([] {
    auto slow = config();
    slow.rotation_s = 100000;
    return slow;
  }());
  const auto cipher = open_session(sessions, 1000);
  sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1000);
  sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1299);
  CHECK(sessions.on_clock(1299).save.empty());
  sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1300);
  CHECK(sessions.on_clock(1300).save == std::vector<std::string>{peer});
  CHECK(sessions.on_clock(1900).save.empty());
}

TEST_CASE("a session is dropped a day after its last message") {
  ServerSessions sessions(config());
  const auto cipher = open_session(sessions, 0);
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 0)));
  CHECK(sessions.on_clock(24 * 3600).dropped.empty());
  CHECK(sessions.on_clock(24 * 3600 + 1).dropped == std::vector<std::string>{peer});
  CHECK_FALSE(sessions.seal(peer, "x"));
}

TEST_CASE("a hostname that does not fit into the key message of a small key is left out") {
  auto long_name = config();
  long_name.hostname = std::string(120, 'h');
  ServerSessions sessions(long_name);
  const auto begun = sessions.on_frame(peer, helo(client_key()), 0);
  const auto steps = sessions.on_verified(peer, client_key().public_key(), 0);
  REQUIRE(find<ServerSessions::Send>(steps));
  const auto key = parse_key(*client_key().decrypt(base64_decode(find<ServerSessions::Send>(steps)->frame)));
  REQUIRE(key.has_value());
  CHECK(key->hostname.empty());
}

TEST_CASE("a replayed handshake does not end the session of the peer it was overheard from") {
  ServerSessions sessions(config());
  const auto cipher = open_session(sessions, 0);
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1)));
  const auto steps = sessions.on_verified(peer, client_key().public_key(), 2);
  CHECK_FALSE(find<ServerSessions::Save>(steps));
  REQUIRE(find<ServerSessions::Send>(steps));
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [b] [] {}"), 3)));
  CHECK(cipher.open(*sessions.seal(peer, "[PONG] [b] [] {}")) == std::optional<std::string>("[PONG] [b] [] {}"));
  // Who holds the client's key can use the new session, and then the old one is over.
  const auto key = parse_key(*client_key().decrypt(base64_decode(find<ServerSessions::Send>(steps)->frame)));
  REQUIRE(key.has_value());
  const SessionCipher next(SessionKey{key->key, key->iv, key->padding});
  const auto used = sessions.on_frame(peer, next.seal("[PING] [c] [] {}"), 4);
  CHECK(find<ServerSessions::Save>(used));
  CHECK(find<ServerSessions::Request>(used));
  CHECK(next.open(*sessions.seal(peer, "x[y]")) == std::optional<std::string>("x[y]"));
  CHECK(refuses(sessions.on_frame(peer, cipher.seal("[PING] [d] [] {}"), 5)));
}

TEST_CASE("a session that nobody uses is dropped after minutes, one that was used after a day") {
  auto settings = config();
  settings.rotation_s = 1000000;
  ServerSessions sessions(settings);
  open_session(sessions, 0);
  CHECK(sessions.on_clock(600).dropped.empty());
  CHECK(sessions.on_clock(601).dropped == std::vector<std::string>{peer});
  const auto cipher = open_session(sessions, 1000);
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1001)));
  CHECK(sessions.on_clock(1001 + 24 * 3600).dropped.empty());
  CHECK(sessions.on_clock(1002 + 24 * 3600).dropped.size() == 1);
}

TEST_CASE("a session is to be saved at its first message and not at each") {
  ServerSessions sessions(config());
  const auto cipher = open_session(sessions, 0);
  CHECK(find<ServerSessions::Save>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1)));
  CHECK_FALSE(find<ServerSessions::Save>(sessions.on_frame(peer, cipher.seal("[PING] [b] [] {}"), 2)));
}

TEST_CASE("sessions that nobody uses are bounded, the oldest makes room, and those in use stay") {
  auto small = config();
  small.max_unused = 3;
  ServerSessions sessions(small);
  const auto cipher = open_session(sessions, 0);
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [a] [] {}"), 1)));
  for (const char* name : {"gorgone-1", "gorgone-2", "gorgone-3", "gorgone-2", "gorgone-4"})
    sessions.on_verified(name, client_key().public_key(), 2);
  CHECK(sessions.size() == 4);
  CHECK_FALSE(sessions.session("gorgone-1"));
  for (const char* name : {peer, "gorgone-2", "gorgone-3", "gorgone-4"}) CHECK(sessions.session(name));
  sessions.on_verified("gorgone-5", client_key().public_key(), 3);
  CHECK_FALSE(sessions.session("gorgone-3"));
  CHECK(sessions.session("gorgone-2"));
  CHECK(find<ServerSessions::Request>(sessions.on_frame(peer, cipher.seal("[PING] [b] [] {}"), 4)));
  // Those that are dropped for their age give their places back.
  CHECK(sessions.on_clock(3 + 601).dropped.size() == 3);
  CHECK(sessions.size() == 1);
  for (int i = 0; i < 9; ++i) sessions.on_verified("gorgone-x" + std::to_string(i), client_key().public_key(), 700);
  CHECK(sessions.size() == 4);
  // Each node that dials us has a place beside them.
  sessions.make_room(5);
  for (int i = 0; i < 9; ++i) sessions.on_verified("gorgone-y" + std::to_string(i), client_key().public_key(), 700);
  CHECK(sessions.size() == 9);
}
