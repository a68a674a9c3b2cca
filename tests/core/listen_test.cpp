#include <gorgone/listen.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/support/loop_agent.hpp"

using namespace gorgone;
using asio::ip::make_address;
using asio::ip::tcp;

namespace {

// An address for documentation, which no host has.
const tcp::endpoint nowhere(make_address("192.0.2.1"), 0);
const tcp::endpoint here(make_address("127.0.0.1"), 0);

Result<std::vector<tcp::endpoint>> found(const std::string& address) {
  test::LoopAgent agent;
  Result<std::vector<tcp::endpoint>> result = Error{"it did not end"};
  auto find = [](Agent& of, std::string name, Result<std::vector<tcp::endpoint>>& into) -> asio::awaitable<void> {
    into = co_await find_endpoints(of, std::move(name), 8085);
  };
  agent.spawn(find(agent, address, result));
  agent.run();
  return result;
}

}  // namespace

TEST_CASE("all addresses of a name are listened on at one port, and one that this host has not is passed over") {
  asio::io_context loop;
  const auto acceptors = listen_on(loop, {nowhere, here, {make_address("127.0.0.2"), 0}});
  REQUIRE(acceptors.has_value());
  REQUIRE(acceptors->size() == 2);
  const auto port = acceptors->front().local_endpoint().port();
  CHECK(port != 0);
  CHECK(acceptors->front().local_endpoint().address() == here.address());
  CHECK(acceptors->back().local_endpoint() == tcp::endpoint(make_address("127.0.0.2"), port));
  tcp::socket client(loop);
  boost::system::error_code error;
  client.connect(acceptors->back().local_endpoint(), error);
  CHECK_FALSE(error);
}

TEST_CASE("what cannot be listened on is told by its address, and whether that or the port is wrong") {
  asio::io_context loop;
  const auto absent = listen_on(loop, {nowhere});
  REQUIRE_FALSE(absent.has_value());
  CHECK(absent.error().code == "address");
  CHECK_THAT(absent.error().message, Catch::StartsWith("cannot listen on 192.0.2.1:0: "));
  const auto first = listen_on(loop, {here});
  REQUIRE(first.has_value());
  const auto taken = first->front().local_endpoint();
  const auto second = listen_on(loop, {{make_address("127.0.0.2"), taken.port()}, taken});
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == "port");
  CHECK_THAT(second.error().message, Catch::StartsWith("cannot listen on " + text_of(taken) + ": "));
}

TEST_CASE("an address stands for itself, a star for all of IPv4, a name for what it has") {
  CHECK(found("*").value() == std::vector{tcp::endpoint(make_address("0.0.0.0"), 8085)});
  CHECK(found("::1").value() == std::vector{tcp::endpoint(make_address("::1"), 8085)});
  CHECK(text_of(found("::1")->front()) == "[::1]:8085");
  const auto local = found("localhost");
  REQUIRE(local.has_value());
  CHECK(std::ranges::all_of(*local, [](const auto& endpoint) { return endpoint.address().is_loopback() && endpoint.port() == 8085; }));
  const auto none = found("no such host");
  REQUIRE_FALSE(none.has_value());
  CHECK_THAT(none.error().message,
             Catch::StartsWith("got \"no such host\", ") && Catch::EndsWith("expected an address of this host or its name"));
}
