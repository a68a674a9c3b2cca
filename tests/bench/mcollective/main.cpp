// See tests/bench/mcollective.sh.

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "load.hpp"

int main(int count, char** words) {
  using namespace gorgone::bench;
  const std::vector<std::string> given(words + 1, words + count);
  try {
    if (given.size() == 1 && given[0] == "serve-libzmq") return serve_libzmq({}), 0;
    if (given.size() == 2 && given[0] == "serve-libzmq") return serve_libzmq(given[1]), 0;
    if (given.size() == 1 && given[0] == "serve-transport") return serve_transport(), 0;
    if (given.size() >= 4) {
      const Target target{given[1], given[2]};
      const int number = std::stoi(given[3]);
      if (given[0] == "p2p" && given.size() == 5) return point_to_point(target, number, std::stoi(given[4])), 0;
      if (given[0] == "fanout" && given.size() == 5) return fan_out(target, number, std::stoi(given[4])), 0;
      if (given[0] == "flood" && given.size() == 4) return flood(target, number), 0;
      if (given[0] == "idle" && given.size() == 4) return idle(target, number), 0;
    }
    std::cerr << "expected serve-libzmq [FILE] | serve-transport | p2p ENDPOINT KEY COUNT PAIRS | fanout ENDPOINT KEY COUNT SUBSCRIBERS | "
                 "flood ENDPOINT KEY COUNT | idle ENDPOINT KEY CLIENTS\n";
  } catch (const std::exception& error) {
    std::cerr << "bench_mcollective: " << error.what() << "\n";
  }
  return 1;
}
