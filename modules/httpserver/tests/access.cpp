#include "../access.hpp"

#include <catch2/catch.hpp>

#include <memory>

using namespace gorgone::httpserver;
using namespace std::chrono_literals;

namespace {

boost::asio::ip::address address(const char* text) { return boost::asio::ip::make_address(text); }

bool is_in(const char* subnet, const char* text) {
  auto parsed = Subnet::parse(subnet);
  REQUIRE(parsed.has_value());
  return parsed->contains(address(text));
}

}  // namespace

TEST_CASE("an address is in a subnet by its leading bits") {
  CHECK(is_in("192.0.2.0/24", "192.0.2.255"));
  CHECK_FALSE(is_in("192.0.2.0/24", "192.0.3.0"));
  CHECK(is_in("10.32.0.0/11", "10.63.255.255"));
  CHECK_FALSE(is_in("10.32.0.0/11", "10.64.0.0"));
  CHECK(is_in("10.32.7.9/11", "10.40.0.1"));
  CHECK(is_in("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(is_in("2001:db8::/33", "2001:db8:8000::1"));
}

TEST_CASE("a subnet without bits is one address") {
  CHECK(is_in("127.0.0.1", "127.0.0.1"));
  CHECK_FALSE(is_in("127.0.0.1", "127.0.0.2"));
  CHECK(is_in("::1", "::1"));
  CHECK_FALSE(is_in("::1", "::2"));
}

TEST_CASE("a subnet of zero bits holds its own family only") {
  CHECK(is_in("0.0.0.0/0", "203.0.113.9"));
  CHECK_FALSE(is_in("0.0.0.0/0", "2001:db8::1"));
  CHECK(is_in("::/0", "2001:db8::1"));
  CHECK_FALSE(is_in("::/0", "203.0.113.9"));
}

TEST_CASE("an IPv4 address that came over IPv6 counts as IPv4") {
  CHECK(is_in("192.0.2.0/24", "::ffff:192.0.2.7"));
  CHECK_FALSE(is_in("192.0.2.0/24", "::ffff:192.0.3.7"));
}

TEST_CASE("what is no subnet is an error that says what is one") {
  for (auto text : {"", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "2001:db8::/129", "10.0.0/8"}) {
    auto parsed = Subnet::parse(text);
    CHECK_FALSE(parsed.has_value());
    if (!parsed) CHECK(parsed.error().message.find("expected an address or a network") != std::string::npos);
  }
}

TEST_CASE("the right user and password are accepted, whatever the padding and case of the scheme") {
  const Credentials credentials("admin", "pass:word");
  CHECK(credentials.accept("Basic YWRtaW46cGFzczp3b3Jk"));
  CHECK(credentials.accept("basic YWRtaW46cGFzczp3b3Jk"));
  CHECK(Credentials("a", "b").accept("Basic YTpi"));
  CHECK(Credentials("a", "bc").accept("Basic YTpiYw=="));
  CHECK(Credentials("a", "bc").accept("Basic YTpiYw"));
  CHECK(Credentials("a", "bcd").accept("Basic YTpiY2Q="));
}

TEST_CASE("anything but the right user and password is refused") {
  const Credentials credentials("admin", "secret");
  for (auto header : {"", "Basic", "Basic ", "Bearer YWRtaW46c2VjcmV0", "Basic YWRtaW46c2VjcmV1",
                      "Basic YWRtaW46c2VjcmV0YQ==", "Basic YWRtaW46", "Basic !!!!", "Basic Y", "Basic ====", "YWRtaW46c2VjcmV0"})
    CHECK_FALSE(credentials.accept(header));
  CHECK(credentials.accept("Basic YWRtaW46c2VjcmV0"));
}

TEST_CASE("an empty name and password do not let nonsense in") {
  const Credentials credentials("", "");
  CHECK_FALSE(credentials.accept("Basic !!!!"));
  CHECK_FALSE(credentials.accept(""));
}

TEST_CASE("each wrong password doubles the delay, up to its limit") {
  Guesses guesses;
  const Guesses::Clock::time_point now{1h};
  std::vector<std::chrono::milliseconds> delays;
  for (int i = 0; i < 7; ++i) delays.push_back(guesses.failed(address("192.0.2.7"), now + i * 1s));
  CHECK(delays == std::vector<std::chrono::milliseconds>{500ms, 1s, 2s, 4s, 5s, 5s, 5s});
  CHECK(guesses.failed(address("192.0.2.8"), now) == 500ms);
}

TEST_CASE("the right password, or time, ends the delay") {
  Guesses guesses;
  const Guesses::Clock::time_point now{1h};
  guesses.failed(address("192.0.2.7"), now);
  guesses.succeeded(address("192.0.2.7"));
  CHECK(guesses.failed(address("192.0.2.7"), now) == 500ms);
  CHECK(guesses.failed(address("192.0.2.7"), now + Guesses::forgotten_after + 1s) == 500ms);
}

TEST_CASE("addresses of one IPv6 network guess together") {
  Guesses guesses;
  const Guesses::Clock::time_point now{1h};
  guesses.failed(address("2001:db8::1"), now);
  CHECK(guesses.failed(address("2001:db8::2"), now) == 1s);
  CHECK(guesses.failed(address("2001:db8:0:1::1"), now) == 500ms);
}

TEST_CASE("of an address so many refusals are delayed at a time, whoever else guesses") {
  Guesses guesses;
  std::vector<std::unique_ptr<Guesses::Delayed>> delayed;
  for (int i = 0; i < Guesses::most_delayed; ++i) {
    CHECK_FALSE(guesses.are_many(address("2001:db8::1")));
    delayed.push_back(std::make_unique<Guesses::Delayed>(guesses, address("2001:db8::1")));
  }
  CHECK(guesses.are_many(address("2001:db8::2")));
  CHECK_FALSE(guesses.are_many(address("2001:db8:0:1::1")));
  // The table of guesses may have forgotten the address meanwhile.
  const Guesses::Clock::time_point now{1h};
  for (unsigned i = 0; i <= Guesses::most_addresses; ++i) guesses.failed(boost::asio::ip::address_v4(0x0a000000 + i), now);
  CHECK(guesses.are_many(address("2001:db8::1")));
  delayed.pop_back();
  CHECK_FALSE(guesses.are_many(address("2001:db8::1")));
}

TEST_CASE("the table of guesses is bounded and forgets the oldest") {
  Guesses guesses;
  const Guesses::Clock::time_point now{1h};
  for (unsigned i = 0; i < Guesses::most_addresses + 100; ++i) guesses.failed(boost::asio::ip::address_v4(0x0a000000 + i), now + i * 1ms);
  CHECK(guesses.size() == Guesses::most_addresses);
  CHECK(guesses.failed(address("10.0.16.99"), now + 10s) == 1s);
  CHECK(guesses.failed(address("10.0.0.1"), now + 10s) == 500ms);
}

TEST_CASE("of refusals the first few of an address are told, the others counted and told with the next") {
  ToldRefusals refusals;
  const ToldRefusals::Clock::time_point begin{std::chrono::hours(1)};
  int told = 0;
  for (int i = 0; i < 100; ++i) told += refusals.refused(address("192.0.2.1"), begin).is_told ? 1 : 0;
  CHECK(told == 3);
  CHECK(refusals.refused(address("192.0.2.2"), begin).is_told);
  const auto next = refusals.refused(address("192.0.2.1"), begin + ToldRefusals::span);
  CHECK(next.is_told);
  CHECK(next.silent == 97);
  CHECK(refusals.refused(address("192.0.2.1"), begin + ToldRefusals::span).silent == 0);
}

TEST_CASE("refusals of a thousand addresses are few lines") {
  ToldRefusals refusals;
  const ToldRefusals::Clock::time_point begin{std::chrono::hours(1)};
  int told = 0;
  for (int i = 0; i < 1000; ++i)
    told += refusals.refused(address(("192.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)).c_str()), begin).is_told ? 1 : 0;
  CHECK(told == 20);
}
