#include "core/net/turnstile.hpp"

#include <catch2/catch.hpp>

using gorgone::net::Turnstile;

TEST_CASE("so many enter at once, the next one when one leaves, in order, and who gave up is passed over") {
  boost::asio::io_context loop;
  auto& turnstile = boost::asio::use_service<Turnstile>(loop);
  std::vector<int> gone;
  std::vector<std::shared_ptr<Turnstile::Ticket>> tickets;
  const int first = static_cast<int>(Turnstile::at_once);
  for (int i = 0; i < first + 3; ++i) tickets.push_back(turnstile.enter([&gone, i] { gone.push_back(i); }));
  CHECK(gone.empty());
  loop.run();
  CHECK(gone.size() == Turnstile::at_once);
  CHECK_FALSE(tickets[0]->is_waiting());
  CHECK(tickets.back()->is_waiting());
  tickets[static_cast<std::size_t>(first)].reset();
  gone.clear();
  tickets[0].reset();
  tickets[1].reset();
  loop.restart();
  loop.run();
  CHECK(gone == std::vector<int>{first + 1, first + 2});
}

TEST_CASE("a ticket that dies between its turn and its call gives the place back") {
  boost::asio::io_context loop;
  auto& turnstile = boost::asio::use_service<Turnstile>(loop);
  for (std::size_t i = 0; i < 3 * Turnstile::at_once; ++i) turnstile.enter([] { FAIL("called for a ticket that is gone"); });
  bool has_gone = false;
  const auto ticket = turnstile.enter([&] { has_gone = true; });
  loop.run();
  CHECK(has_gone);
}

TEST_CASE("those at work who get no answer give their places to those behind them, each once") {
  boost::asio::io_context loop;
  auto& turnstile = boost::asio::use_service<Turnstile>(loop);
  std::size_t gone = 0;
  std::vector<std::shared_ptr<Turnstile::Ticket>> tickets;
  for (std::size_t i = 0; i < 3 * Turnstile::at_once; ++i) tickets.push_back(turnstile.enter([&gone] { ++gone; }));
  loop.run();
  CHECK(gone == Turnstile::at_once);
  for (std::size_t i = 0; i < Turnstile::at_once; ++i) tickets[i]->give_back();
  for (std::size_t i = 0; i < Turnstile::at_once; ++i) tickets[i].reset();  // given back already
  loop.restart();
  loop.run();
  CHECK(gone == 2 * Turnstile::at_once);
}
