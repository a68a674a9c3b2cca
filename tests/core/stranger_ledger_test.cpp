#include "core/net/stranger_ledger.hpp"

#include <catch2/catch.hpp>

using gorgone::net::StrangerLedger;

namespace {

constexpr std::uint64_t mb = 1'000'000;

std::vector<int> numbers(const std::vector<StrangerLedger::Cut>& cut) {
  std::vector<int> connections;
  for (const auto& each : cut) connections.push_back(each.connection);
  return connections;
}

std::vector<int> cut(StrangerLedger& ledger) { return numbers(ledger.surplus()); }

}  // namespace

TEST_CASE("strangers keep what they hold while all together keep the bound, then those that hold it for longest go") {
  StrangerLedger ledger({10 * mb});
  for (int connection = 1; connection <= 4; ++connection) {
    ledger.came(connection);
    ledger.received(connection, 3 * mb, 100 * connection);
    if (connection < 4) CHECK(cut(ledger).empty());
  }
  CHECK(cut(ledger) == std::vector<int>{1});
  CHECK(ledger.strangers().size() == 3);
  ledger.received(3, 7 * mb, 1000);
  CHECK(cut(ledger) == std::vector<int>{2});
  CHECK(ledger.held() == 10 * mb);
}

TEST_CASE("what came whole is not held any more, however many messages it was") {
  StrangerLedger ledger({mb});
  ledger.came(7);
  std::uint64_t sent = 100;  // the greeting
  for (int i = 0; i < 1000; ++i) {
    ledger.delivered(7, 100'009);
    ledger.delivered(7, 12);
    sent += 100'000 + 9 + 10 + 2;
  }
  ledger.received(7, sent, 1);
  CHECK(ledger.held() == 0);
  ledger.received(7, sent + 2 * mb, 2);
  CHECK(cut(ledger) == std::vector<int>{7});
}

TEST_CASE("many short messages earn no credit for a long one that does not end") {
  StrangerLedger ledger({mb});
  ledger.came(7);
  std::uint64_t sent = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    ledger.delivered(7, 3);
    sent += 3;
  }
  ledger.received(7, sent + 2 * mb, 1);
  CHECK(cut(ledger) == std::vector<int>{7});
}

TEST_CASE("a connection over which a session has spoken is not counted, and one that is gone neither") {
  StrangerLedger ledger({mb});
  for (const int connection : {1, 2}) {
    ledger.came(connection);
    ledger.received(connection, 5 * mb, 1);
  }
  ledger.known(1);
  ledger.left(2);
  CHECK_FALSE(ledger.has_strangers());
  CHECK(cut(ledger).empty());
  ledger.received(1, 9 * mb, 2);
  CHECK(ledger.held() == 0);
  CHECK(cut(ledger).empty());
  ledger.left(1);
  CHECK(ledger.empty());
}

TEST_CASE("a number that another connection has now begins anew") {
  StrangerLedger ledger({mb});
  ledger.came(1);
  ledger.received(1, 900'000, 1);
  ledger.came(1);
  CHECK(ledger.held() == 0);
  ledger.received(1, 900'000, 5);
  CHECK(cut(ledger).empty());
}

TEST_CASE("beyond the largest number of strangers the oldest go, whatever they hold, and those with a session stay") {
  StrangerLedger ledger({10 * mb, 3});
  for (int connection = 1; connection <= 4; ++connection) ledger.came(connection);
  ledger.known(1);
  CHECK(ledger.crowd(0).empty());
  ledger.received(4, mb, 1);
  ledger.came(5);
  ledger.came(6);
  CHECK(numbers(ledger.crowd(0)) == std::vector<int>{2, 3});
  CHECK(ledger.crowd(0).empty());
  ledger.left(4);
  ledger.came(7);
  CHECK(ledger.crowd(0).empty());
}

TEST_CASE("each node that dials us has a place among strangers beside the others") {
  StrangerLedger ledger({10 * mb, 3});
  for (int connection = 1; connection <= 5; ++connection) ledger.came(connection);
  CHECK(ledger.crowd(2).empty());
  ledger.came(6);
  CHECK(numbers(ledger.crowd(2)) == std::vector<int>{1});
  CHECK(numbers(ledger.crowd(1)) == std::vector<int>{2});
}

TEST_CASE("where memory has grown by more than what came, those go who may have sent very many parts, strangers first") {
  StrangerLedger ledger({64 * mb});
  for (const int connection : {1, 2, 3}) ledger.came(connection);
  ledger.known(1);
  ledger.received(1, 4 * mb, 5);
  ledger.received(2, mb, 10);
  ledger.received(3, 4 * mb, 20);
  CHECK(ledger.swollen(60 * mb).empty());
  CHECK(ledger.has_suspects());
  CHECK(ledger.swollen((2 * 64 + 2 * 9) * mb).empty());
  CHECK(numbers(ledger.swollen(160 * mb)) == std::vector<int>{2, 3});
  CHECK(ledger.swollen(256 * mb).empty());  // an answer that is being written may be the cause
  CHECK(numbers(ledger.swollen(265 * mb)) == std::vector<int>{1});
  CHECK(ledger.swollen(1000 * mb).empty());
  CHECK_FALSE(ledger.has_suspects());
}

TEST_CASE("who holds little is not taken for the one whose parts have swollen") {
  StrangerLedger ledger({64 * mb});
  ledger.came(1);
  ledger.came(2);
  ledger.known(2);
  ledger.received(1, 2 * mb, 1);
  ledger.received(2, 2 * mb, 1);
  CHECK(ledger.swollen(1000 * mb).empty());
}

TEST_CASE("the pings of a link that is quiet for months are not taken for a message that does not end") {
  StrangerLedger ledger({64 * mb});
  ledger.came(7);
  ledger.received(7, 100, 1000);
  ledger.known(7);
  const std::int64_t s = 90 * 86400;
  ledger.received(7, 100 + 3 * std::uint64_t{s}, 1000 + 1000 * s);
  CHECK_FALSE(ledger.has_suspects());
  ledger.received(7, 100 + 16 * std::uint64_t{s} + 3 * mb, 1000 + 1000 * s);
  CHECK(ledger.has_suspects());
}
