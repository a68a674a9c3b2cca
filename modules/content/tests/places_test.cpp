#include "ground.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

#include "scratch.hpp"

using namespace gorgone::content;
using gorgone::content::test::Scratch;

TEST_CASE("places that several threads add and remove at once are all remembered") {
  constexpr int threads = 4, each = 50;
  Scratch scratch;
  const auto name = [](int thread, int number) { return "/srv/" + std::to_string(thread) + "/" + std::to_string(number); };
  Places(scratch.at("state")).add("/gone");
  std::vector<std::thread> adders;
  for (int thread = 0; thread < threads; ++thread)
    adders.emplace_back([&, thread] {
      const Places places(scratch.at("state"));
      for (int number = 0; number < each; ++number) {
        places.add(name(thread, number));
        if (number == each / 2) places.remove({"/gone"});
      }
    });
  for (auto& adder : adders) adder.join();
  auto found = Places(scratch.at("state")).list();
  std::sort(found.begin(), found.end());
  std::vector<std::string> expected;
  for (int thread = 0; thread < threads; ++thread)
    for (int number = 0; number < each; ++number) expected.push_back(name(thread, number));
  std::sort(expected.begin(), expected.end());
  CHECK(found == expected);
}
