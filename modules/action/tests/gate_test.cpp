#include "../gate.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <optional>
#include <string>

using namespace gorgone::action;

TEST_CASE("nobody passes those who were let in and have not gone on yet") {
  boost::asio::io_context loop;
  Gate gate(loop, 2, 10);
  std::string order;
  std::optional<Gate::Pass> first, second;
  auto enter = [&](char name, std::optional<Gate::Pass>& pass) -> boost::asio::awaitable<void> {
    auto got = co_await gate.enter();
    pass.emplace(std::move(got));
    order += name;
  };
  std::optional<Gate::Pass> third, fourth, fifth;
  auto spawn = [&](char name, std::optional<Gate::Pass>& pass) {
    boost::asio::co_spawn(loop, enter(name, pass), boost::asio::detached);
    // As far as it comes by itself.
    loop.restart();
    loop.poll();
  };
  spawn('1', first);
  spawn('2', second);
  spawn('3', third);
  CHECK(order == "12");
  // The third is let in, and another place is free, before the loop goes on.
  boost::asio::post(loop, [&] {
    boost::asio::co_spawn(loop, enter('4', fourth), boost::asio::detached);
    boost::asio::co_spawn(loop, enter('5', fifth), boost::asio::detached);
    boost::asio::post(loop, [&] { first.reset(); });
  });
  first.reset();
  second.reset();
  loop.restart();
  loop.poll();
  CHECK(order.substr(0, 4) == "1234");
  third.reset();
  loop.restart();
  loop.poll();
  CHECK(order == "12345");
  CHECK(gate.waiting() == 0);
}
