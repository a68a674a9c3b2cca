#include <gorgone/tls_stream.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include <string>

using namespace gorgone;

namespace {

// Something else that is ready again and again.
void go_on(boost::asio::io_context& loop, std::string& order, int times) {
  order += '.';
  if (times > 1) boost::asio::post(loop, [&loop, &order, times] { go_on(loop, order, times - 1); });
}

}  // namespace

TEST_CASE("between two turns of TLS handshakes all else that is ready has its own") {
  boost::asio::io_context loop;
  std::string order;
  for (char name = 'a'; name <= 'e'; ++name) in_tls_turn(loop, [&order, name] { order += name; });
  CHECK(order.empty());
  boost::asio::post(loop, [&] { go_on(loop, order, 4); });
  loop.run();
  CHECK(order == "a.b.c.d.e");
}

TEST_CASE("turns that are asked for in a turn come last, and those of a loop that ends are dropped") {
  int kept = 0;
  {
    boost::asio::io_context loop;
    std::string order;
    in_tls_turn(loop, [&] {
      order += 'a';
      in_tls_turn(loop, [&order] { order += 'c'; });
    });
    in_tls_turn(loop, [&order] { order += 'b'; });
    loop.run();
    CHECK(order == "abc");
    const std::shared_ptr<int> held(&kept, [](int* count) { ++*count; });
    in_tls_turn(loop, [held] {});
  }
  CHECK(kept == 1);
}
