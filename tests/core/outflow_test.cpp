#include "core/net/outflow.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <vector>

using gorgone::net::Outflow;

namespace {

struct Fixture {
  std::map<int, std::uint64_t> taken;  // what the kernel has taken of each connection
  int asked = 0;
  std::vector<std::string> lost;
  Outflow outflow{[this](int connection) {
                    ++asked;
                    const auto found = taken.find(connection);
                    return found == taken.end() ? std::nullopt : std::optional(found->second);
                  },
                  [this](const std::string& client) { lost.push_back(client); }};
};

}  // namespace

TEST_CASE("a client has room until so many bytes were given that the kernel has not taken, and again when it has") {
  Fixture test;
  test.taken[5] = 700;  // the greeting
  test.outflow.heard("a", 5);
  test.outflow.sent("a", 1000);
  CHECK(test.outflow.has_room("a", 1000));
  test.outflow.sent("a", 1000);
  CHECK_FALSE(test.outflow.has_room("a", 1000));
  test.taken[5] = 700 + 999;
  CHECK_FALSE(test.outflow.has_room("a", 1000));
  test.taken[5] = 700 + 1000;
  CHECK(test.outflow.has_room("a", 1000));
}

TEST_CASE("what has left of a large answer is known while the rest of it waits") {
  Fixture test;
  test.taken[5] = 700;
  test.outflow.heard("a", 5);
  test.outflow.sent("a", 5000);
  CHECK_FALSE(test.outflow.has_room("a", 1000));
  CHECK(test.outflow.left_for("a") == 0);
  test.taken[5] = 700 + 300;
  CHECK_FALSE(test.outflow.has_room("a", 1000));
  CHECK(test.outflow.left_for("a") == 300);
  CHECK(test.outflow.left_for("nobody") == 0);
}

TEST_CASE("the kernel is not asked for each of many short answers") {
  Fixture test;
  test.taken[5] = 0;
  test.outflow.heard("a", 5);
  for (int i = 0; i < 1000; ++i) {
    CHECK(test.outflow.has_room("a", 10000));
    test.outflow.sent("a", 100);
    test.taken[5] += 100;
    test.outflow.heard("a", 5);
  }
  CHECK(test.asked < 20);
}

TEST_CASE("what the library writes by itself earns no room") {
  Fixture test;
  test.taken[5] = 0;
  test.outflow.heard("a", 5);
  test.outflow.sent("a", 100);
  test.taken[5] = 5000;
  CHECK(test.outflow.has_room("a", 50));
  test.outflow.sent("a", 100);
  CHECK_FALSE(test.outflow.has_room("a", 50));
}

TEST_CASE("a client on a new connection begins anew, and an old number that ends is not taken for it") {
  Fixture test;
  test.taken[5] = test.taken[6] = 0;
  test.outflow.heard("a", 5);
  test.outflow.sent("a", 100);
  CHECK_FALSE(test.outflow.has_room("a", 50));
  test.outflow.heard("a", 6);
  CHECK(test.outflow.has_room("a", 50));
  test.outflow.sent("a", 100);
  test.outflow.ended(5);
  CHECK_FALSE(test.outflow.has_room("a", 50));
  test.outflow.ended(6);
  CHECK(test.outflow.has_room("a", 50));
}

TEST_CASE("a number that another client has now says nothing of the one before") {
  Fixture test;
  test.taken[5] = 0;
  test.outflow.heard("a", 5);
  test.outflow.sent("a", 100);
  test.outflow.heard("b", 5);
  CHECK(test.outflow.has_room("a", 50));
  CHECK(test.outflow.has_room("b", 50));
}

TEST_CASE("a client whose connection has ended, or is another one, has lost what was under way on the old one") {
  using Names = std::vector<std::string>;
  Fixture test;
  test.outflow.heard("a", 5);
  test.outflow.heard("a", 5);
  CHECK(test.lost.empty());
  test.outflow.heard("a", 6);
  CHECK(test.lost == Names{"a"});
  test.outflow.ended(5);
  CHECK(test.lost == Names{"a"});
  test.outflow.ended(6);
  CHECK(test.lost == Names{"a", "a"});
  test.outflow.heard("a", 7);
  test.outflow.heard("b", 7);
  CHECK(test.lost == Names{"a", "a", "a"});
}
