#include "core/wire/link_machine.hpp"

#include <gorgone/link.hpp>

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::wire;
using State = LinkMachine::State;

namespace {

const RsaPrivateKey& server_key() {
  static const auto key = *RsaPrivateKey::generate(2048);
  return key;
}

LinkMachine::Config config() {
  LinkMachine::Config config;
  config.name = "gorgone-proxy-1-2";
  return config;
}

template <class T>
const T* find(const LinkMachine::Steps& steps) {
  for (const auto& step : steps)
    if (const auto* found = std::get_if<T>(&step)) return found;
  return nullptr;
}

std::string pubkey_frame(const RsaPrivateKey& key = server_key()) { return format_pubkey(key.public_key().pem()); }

SessionCipher cipher(char seed) { return SessionCipher(SessionKey{std::string(32, seed), std::string(16, seed), 1}); }
std::string key_text(char seed) { return format_key({"poller", std::string(32, seed), std::string(16, seed), "AES", 1}); }

// The socket is made and the connection is there: the greeting.
LinkMachine::Steps connect(LinkMachine& machine, std::int64_t now = 0) {
  machine.on_connected({}, now);
  return machine.on_peer(true, now);
}

// From the greeting to a session with the key of `seed`.
void bring_up(LinkMachine& machine, char seed, std::int64_t now = 0) {
  connect(machine, now);
  REQUIRE(find<LinkMachine::CheckKey>(machine.on_frame(pubkey_frame(), now)));
  REQUIRE(find<LinkMachine::MakeHelo>(machine.on_key_checked({}, now)));
  REQUIRE(find<LinkMachine::Send>(machine.on_helo_made(Result<std::string>(std::string("[helo]")), now)));
  REQUIRE(find<LinkMachine::OpenKey>(machine.on_frame("c2VhbGVk", now)));
  REQUIRE(find<LinkMachine::Up>(machine.on_key_opened(Result<std::string>(key_text(seed)), now)));
  REQUIRE(machine.state() == State::up);
}

// The same where server_key is configured: nothing is asked.
void bring_up_with_known_key(LinkMachine& machine) {
  REQUIRE(find<LinkMachine::MakeHelo>(connect(machine)));
  REQUIRE(find<LinkMachine::Send>(machine.on_helo_made(Result<std::string>(std::string("[helo]")), 0)));
  REQUIRE(find<LinkMachine::OpenKey>(machine.on_frame("c2VhbGVk", 0)));
  REQUIRE(find<LinkMachine::Up>(machine.on_key_opened(Result<std::string>(key_text('a')), 0)));
}

}  // namespace

TEST_CASE("a link asks for the key, greets and is up with the server's hostname") {
  LinkMachine machine(config());
  CHECK(find<LinkMachine::Connect>(machine.start(0)));
  const auto steps = connect(machine);
  REQUIRE(find<LinkMachine::Send>(steps));
  CHECK(find<LinkMachine::Send>(steps)->frame == "[GETPUBKEY]");
  CHECK_FALSE(machine.seal("x"));
  bring_up(machine, 'a');
  CHECK(cipher('a').open(*machine.seal("[PING] [] [] {}")) == "[PING] [] [] {}");
  CHECK_FALSE(machine.deadline());
}

TEST_CASE("a server key known beforehand is not asked for") {
  auto known = config();
  known.server_key = server_key().public_key();
  LinkMachine machine(known);
  machine.start(0);
  const auto steps = connect(machine);
  CHECK(find<LinkMachine::MakeHelo>(steps));
  CHECK_FALSE(find<LinkMachine::Send>(steps));
}

TEST_CASE("another key than the one known beforehand is refused with both thumbprints") {
  auto known = config();
  const auto other = *RsaPrivateKey::generate(2048);
  known.server_key = server_key().public_key();
  LinkMachine machine(known);
  machine.start(0);
  bring_up_with_known_key(machine);
  machine.on_frame(std::string(handshake_issue), 0);  // the session is lost: the key is asked for again
  machine.on_peer(true, 0);
  REQUIRE(machine.state() == State::asking_key);
  const auto steps = machine.on_frame(pubkey_frame(other), 0);
  REQUIRE(find<LinkMachine::Down>(steps));
  const auto& why = find<LinkMachine::Down>(steps)->why.message;
  CHECK(why.find(other.public_key().thumbprint()) != std::string::npos);
  CHECK(why.find(server_key().public_key().thumbprint()) != std::string::npos);
}

TEST_CASE("messages are received and a new key is taken at once") {
  LinkMachine machine(config());
  machine.start(0);
  bring_up(machine, 'a');
  const auto received = machine.on_frame(cipher('a').seal("[PONG] [t] [] {}"), 1);
  REQUIRE(find<LinkMachine::Received>(received));
  CHECK(find<LinkMachine::Received>(received)->text == "[PONG] [t] [] {}");
  CHECK(machine.on_frame(cipher('a').seal(key_text('b')), 2).empty());
  CHECK(find<LinkMachine::Received>(machine.on_frame(cipher('b').seal("[PONG] [u] [] {}"), 3)));
  CHECK(cipher('b').open(*machine.seal("[PING] [] [] {}")));
}

TEST_CASE("a lost session is told and greeted anew in its turn on the same connection, late answers are passed over") {
  LinkMachine machine(config());
  machine.start(0);
  bring_up(machine, 'a');
  const auto steps = machine.on_frame(std::string(handshake_issue), 5000);
  REQUIRE(find<LinkMachine::Down>(steps));
  CHECK(find<LinkMachine::Down>(steps)->was_up);
  CHECK_FALSE(find<LinkMachine::Connect>(steps));
  CHECK_FALSE(find<LinkMachine::Send>(steps));
  CHECK(find<LinkMachine::TakeTurn>(steps));
  CHECK(machine.on_frame(std::string(handshake_issue), 5000).empty());
  const auto turn = machine.on_peer(true, 5000);
  REQUIRE(find<LinkMachine::Send>(turn));
  CHECK(find<LinkMachine::Send>(turn)->frame == "[GETPUBKEY]");
  CHECK(machine.on_frame(std::string(handshake_issue), 5000).empty());
  CHECK(machine.on_frame(cipher('a').seal("[ACK] [t] {}"), 5000).empty());
  bring_up(machine, 'b', 5001);
}

TEST_CASE("a link whose connection is lost while it waits for its turn after a lost session greets over the next one") {
  auto known = config();
  known.server_key = server_key().public_key();
  LinkMachine machine(known);
  machine.start(0);
  bring_up_with_known_key(machine);
  machine.on_frame(std::string(handshake_issue), 10);
  CHECK(machine.on_peer(false, 11).empty());
  // Nothing of the old session can come over it, and the key is known.
  CHECK(find<LinkMachine::MakeHelo>(machine.on_peer(true, 12)));
}

TEST_CASE("a frame that the session's key does not open loses the session") {
  LinkMachine machine(config());
  machine.start(0);
  bring_up(machine, 'a');
  CHECK(find<LinkMachine::Down>(machine.on_frame(cipher('z').seal("[PONG] [t] [] {}"), 5000)));
  machine.on_peer(true, 5000);
  CHECK(machine.state() == State::asking_key);
}

TEST_CASE("a server that loses every session at once is greeted with pauses") {
  LinkMachine machine(config());
  machine.start(0);
  int greetings = 0;
  while (machine.state() != State::pausing && greetings < 100) {
    bring_up(machine, 'a', 10);
    machine.on_frame(std::string(handshake_issue), 11);
    ++greetings;
  }
  CHECK(greetings == 20);
}

TEST_CASE("a mute server is left and tried again with growing, bounded pauses") {
  LinkMachine machine(config());
  std::int64_t now = 0;
  machine.start(now);
  std::int64_t longest = 0, first = 0;
  for (int i = 0; i < 12; ++i) {
    CHECK(machine.on_clock(*machine.deadline() - 1).empty());
    now = *machine.deadline();
    const auto steps = machine.on_clock(now);
    CHECK(find<LinkMachine::Close>(steps));
    REQUIRE(find<LinkMachine::Down>(steps));
    CHECK_FALSE(find<LinkMachine::Down>(steps)->was_up);
    const auto pause = *machine.deadline() - now;
    if (i == 0) first = pause;
    longest = std::max(longest, pause);
    now = *machine.deadline();
    CHECK(find<LinkMachine::Connect>(machine.on_clock(now)));
  }
  CHECK(first <= 500);
  CHECK(longest >= 2000);
  CHECK(longest <= 4000);
}

TEST_CASE("a refusal by the server is told as such") {
  LinkMachine machine(config());
  machine.start(0);
  connect(machine);
  machine.on_frame(pubkey_frame(), 0);
  machine.on_key_checked({}, 0);
  machine.on_helo_made(Result<std::string>(std::string("[helo]")), 0);
  const auto steps = machine.on_frame(std::string(handshake_issue), 0);
  REQUIRE(find<LinkMachine::Down>(steps));
  CHECK(find<LinkMachine::Down>(steps)->why.message.find("authorized_clients") != std::string::npos);
  CHECK(find<LinkMachine::Down>(steps)->why.code == down::handshake);
}

TEST_CASE("a server's key in a frame beyond what a key takes is refused before it is read") {
  LinkMachine machine(config());
  machine.start(0);
  connect(machine);
  const auto large = format_pubkey(server_key().public_key().pem() + std::string(60000, '\n'));
  const auto steps = machine.on_frame(large, 0);
  REQUIRE(find<LinkMachine::Down>(steps));
  CHECK(find<LinkMachine::Down>(steps)->why.message ==
        "the server's public key came in a frame of " + std::to_string(large.size()) + " bytes, expected at most 65536");
  CHECK(machine.state() == State::pausing);
}

TEST_CASE("a pinned key that differs ends the attempt") {
  LinkMachine machine(config());
  machine.start(0);
  connect(machine);
  machine.on_frame(pubkey_frame(), 0);
  CHECK(find<LinkMachine::Down>(machine.on_key_checked(Error{"the server's key changed"}, 0)));
  CHECK(machine.state() == State::pausing);
}

TEST_CASE("a name that cannot be looked up is told and tried again, and so is one that takes too long") {
  LinkMachine machine(config());
  machine.start(0);
  auto steps = machine.on_connected(Error{"no such name"}, 0);
  REQUIRE(find<LinkMachine::Down>(steps));
  CHECK(find<LinkMachine::Down>(steps)->why.message == "no such name");
  const auto now = *machine.deadline();
  const auto before = machine.attempt();
  CHECK(find<LinkMachine::Connect>(machine.on_clock(now)));
  CHECK(machine.attempt() == before + 1);
  steps = machine.on_clock(*machine.deadline());
  REQUIRE(find<LinkMachine::Down>(steps));
  CHECK(find<LinkMachine::Down>(steps)->why.message.find("address") != std::string::npos);
}

TEST_CASE("results that come after the link was stopped change nothing") {
  LinkMachine machine(config());
  machine.start(0);
  connect(machine);
  machine.on_frame(pubkey_frame(), 0);
  machine.stop();
  CHECK(machine.on_key_checked({}, 0).empty());
  CHECK(machine.on_helo_made(Result<std::string>(std::string("x")), 0).empty());
  CHECK(machine.on_key_opened(Result<std::string>(key_text('a')), 0).empty());
  CHECK(machine.on_frame("x", 0).empty());
  CHECK_FALSE(machine.deadline());
}

TEST_CASE("a peer that refuses is asked more seldom than one that cannot be reached") {
  LinkMachine machine(config());
  std::int64_t now = 0, longest = 0;
  machine.start(now);
  for (int i = 0; i < 12; ++i) {
    connect(machine, now);
    machine.on_frame(pubkey_frame(), now);
    machine.on_key_checked(Error{"another key", down::key_changed}, now);
    REQUIRE(machine.state() == State::pausing);
    longest = std::max(longest, *machine.deadline() - now);
    now = *machine.deadline();
    machine.on_clock(now);
  }
  CHECK(longest >= 7500);
  CHECK(longest <= 15000);
}

TEST_CASE("a lost connection is told at once, and its session lives on when it is back") {
  LinkMachine machine(config());
  machine.start(0);
  bring_up(machine, 'a');
  auto steps = machine.on_peer(false, 100);
  REQUIRE(find<LinkMachine::Down>(steps));
  CHECK(find<LinkMachine::Down>(steps)->was_up);
  CHECK(find<LinkMachine::Down>(steps)->why.code == down::lost);
  CHECK_FALSE(machine.seal("x"));
  steps = machine.on_peer(true, 200);
  REQUIRE(find<LinkMachine::Up>(steps));
  CHECK_FALSE(find<LinkMachine::Connect>(steps));
  CHECK(find<LinkMachine::Up>(steps)->peer_hostname == "poller");
  CHECK(cipher('a').open(*machine.seal("[PING] [] [] {}")) == "[PING] [] [] {}");
}

TEST_CASE("without a connection the reason is asked for every 10 s, and the address is looked up again when patience ends") {
  LinkMachine machine(config());
  machine.start(0);
  machine.on_connected({}, 0);
  CHECK(machine.on_clock(4999).empty());
  CHECK(find<LinkMachine::NoPeer>(machine.on_clock(5000)));
  for (std::int64_t now = 15000; now < 60000; now += 10000) {
    CHECK(machine.on_clock(now - 1).empty());
    CHECK(find<LinkMachine::NoPeer>(machine.on_clock(now)));
  }
  CHECK(machine.on_clock(59999).empty());
  CHECK(find<LinkMachine::Connect>(machine.on_clock(60000)));
}

TEST_CASE("a connection that is lost in the greeting begins it anew, and late results of the first do nothing") {
  LinkMachine machine(config());
  machine.start(0);
  connect(machine);
  machine.on_frame(pubkey_frame(), 0);
  const auto before = machine.attempt();
  CHECK(machine.on_peer(false, 10).empty());
  CHECK(machine.attempt() > before);
  CHECK(machine.on_key_checked({}, 11).empty());
  const auto steps = machine.on_peer(true, 20);
  REQUIRE(find<LinkMachine::Send>(steps));
  CHECK(find<LinkMachine::Send>(steps)->frame == "[GETPUBKEY]");
}
