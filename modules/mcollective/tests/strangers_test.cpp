#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker_fixture.hpp"
#include "refusal_log.hpp"
#include "zmtp_client.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;

namespace {

/// A TCP connection that says what the test wants.
struct Raw {
  explicit Raw(Broker& its_broker) : broker(its_broker), file(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(broker.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(file, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Raw() { ::close(file); }
  Raw(const Raw&) = delete;

  void say(const std::string& bytes) const {
    REQUIRE(::send(file, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  // Takes what has come; false once the broker has closed the connection.
  bool listen() {
    std::string part(65536, '\0');
    while (true) {
      const auto size = ::recv(file, part.data(), part.size(), MSG_DONTWAIT);
      if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
      heard += part.substr(0, static_cast<std::size_t>(size));
    }
  }
  bool hears(std::size_t size) {
    return broker.runs_until([&] {
      listen();
      return heard.size() >= size;
    });
  }
  bool is_closed_within(std::chrono::milliseconds limit) {
    return broker.runs_until([&] { return !listen(); }, limit);
  }

  Broker& broker;
  int file;
  std::string heard;
};

}  // namespace

TEST_CASE("garbage, half a greeting, silence and old versions are closed; who is connected does not notice") {
  Broker broker(true, 1000, [](Transport::Spec& spec) { spec.handshake_timeout = 300ms; });
  Dealer client(broker);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));

  Raw garbage(broker), half(broker), silent(broker), old(broker), plain(broker), half_hello(broker);
  garbage.say("GET / HTTP/1.1\r\n\r\n");
  half.say(greeting("CURVE").substr(0, 40));
  old.say(std::string("\xff\0\0\0\0\0\0\0\1\x7f\1\5", 12));
  plain.say(greeting("NULL"));
  half_hello.say(greeting("CURVE") + std::string("\4\xc8\5HEL", 6));
  CHECK(garbage.is_closed_within(5s));
  CHECK(old.is_closed_within(5s));
  CHECK(plain.is_closed_within(5s));
  CHECK(half.is_closed_within(5s));
  CHECK(silent.is_closed_within(5s));
  CHECK(half_hello.is_closed_within(5s));
  CHECK(silent.heard == greeting("CURVE").replace(32, 1, 1, '\1'));
  CHECK(broker.transport->counters().failed_handshakes == 6);

  client.send({"still here"});
  CHECK(broker.runs_until([&] { return !broker.client().messages.empty(); }));
  CHECK(broker.order.size() == 1);
}

TEST_CASE("strangers that fill all places of the handshake hold up others for two seconds, and nobody who is connected") {
  Broker broker(true, 1000, [](Transport::Spec& spec) {
    spec.handshakes_max = 10;
    spec.handshake_timeout = 60s;
  });
  Dealer connected(broker);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  std::vector<std::unique_ptr<Raw>> strangers;
  for (int i = 0; i < 10; ++i) strangers.push_back(std::make_unique<Raw>(broker));
  REQUIRE(broker.runs_until([&] { return broker.transport->counters().accepted == 11; }));
  broker.agent.run_for(1500ms);
  // As long as nobody else wants to come in they may stay.
  CHECK(broker.transport->counters().failed_handshakes == 0);
  Dealer waiting(broker);
  connected.send({"here"});
  CHECK(broker.runs_until([&] { return !broker.client().messages.empty(); }, 1s));
  CHECK(broker.runs_until([&] { return broker.has(2); }, 5s));
  CHECK(broker.transport->counters().failed_handshakes > 0);
}

TEST_CASE("strangers that begin to prove a key and stop there do not keep others out either") {
  Broker broker(true, 1000, [](Transport::Spec& spec) {
    spec.handshakes_max = 5;
    spec.handshake_timeout = 60s;
  });
  const auto keys = new_key_pair();
  std::vector<std::unique_ptr<Raw>> strangers;
  for (int i = 0; i < 5; ++i) {
    CurveClient curve(keys.public_key, keys.secret_key, broker.keys.public_key);
    auto& stranger = *strangers.emplace_back(std::make_unique<Raw>(broker));
    stranger.say(greeting("CURVE") + curve.hello());
    REQUIRE(stranger.hears(64 + 2 + 168));
  }
  Dealer waiting(broker);
  CHECK(broker.runs_until([&] { return broker.has(1); }, 8s));
  CHECK(broker.transport->counters().failed_handshakes > 0);
}

TEST_CASE("a client of ZMTP 3.0, which knows no PING, has taken what its kernel acknowledged, and is sent none") {
  Broker broker(false);
  Raw client(broker);
  client.say(greeting("NULL", 3, 0) + null_ready(properties("old")));
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  const auto id = broker.id();
  REQUIRE(client.hears(64 + 2 + 40));
  const auto before = client.heard.size();
  broker.transport->send(id, shared({"one"}));
  broker.transport->send(id, shared({"two"}));
  broker.transport->confirm(id);
  CHECK(broker.client().taken.empty());
  REQUIRE(broker.runs_until([&] { return !broker.client().taken.empty() && broker.client().taken.back() == 2; }));
  client.listen();
  CHECK(client.heard.substr(before) == frame("one") + frame("two"));

  SECTION("nothing is taken while it does not read") {
    const auto big = shared({std::string(std::size_t{16} << 20, 'x')});
    broker.transport->send(id, big);
    broker.transport->confirm(id);
    broker.agent.run_for(300ms);
    CHECK(broker.client().taken.back() == 2);
    REQUIRE(client.hears(before + 10 + 9 + (std::size_t{16} << 20)));
    CHECK(broker.runs_until([&] { return broker.client().taken.back() == 3; }));
  }
}

TEST_CASE("a client that pings and does not read makes nothing grow") {
  Broker broker(false);
  Raw client(broker);
  client.say(greeting("NULL") + null_ready(properties("pinger")));
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  std::string pings;
  for (int i = 0; i < 1000; ++i) pings += frame(std::string("\4PING\0\0", 7) + "0123456789abcdef", 4);
  REQUIRE(client.hears(64 + 2 + 40));
  const auto before = client.heard.size();
  client.say(pings);
  const auto pong = frame("\4PONG0123456789abcdef", 4);
  REQUIRE(client.hears(before + pong.size()));
  broker.agent.run_for(50ms);
  client.listen();
  CHECK(client.heard.substr(before, pong.size()) == pong);
  CHECK(client.heard.size() - before < 200 * pong.size());
}

TEST_CASE("a client that goes away in the middle of a message leaves nothing behind") {
  Broker broker(false);
  {
    Raw client(broker);
    client.say(greeting("NULL") + null_ready(properties("web1")) + frame("half", 1));
    REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  }
  REQUIRE(broker.runs_until([&] { return broker.client().closed.has_value(); }));
  CHECK(broker.client().messages.empty());
  CHECK(broker.transport->waiting(broker.id()).messages == 0);
}

TEST_CASE("the transport may go while handshakes are under way and messages wait") {
  Broker broker(true);
  Dealer client(broker), second(broker);
  REQUIRE(broker.runs_until([&] { return broker.has(1); }));
  for (int i = 0; i < 100; ++i) broker.transport->send(broker.id(), shared({std::string(100000, 'x')}));
  Raw stranger(broker);
  const auto keys = new_key_pair();
  CurveClient curve(keys.public_key, keys.secret_key, broker.keys.public_key);
  stranger.say(greeting("CURVE") + curve.hello());
  broker.agent.run_for(1ms);
  broker.transport->close(broker.id(), "gone");
  broker.transport.reset();
  broker.agent.run_for(50ms);
  CHECK_FALSE(broker.client().closed);
  CHECK(broker.order.size() <= 2);
}
