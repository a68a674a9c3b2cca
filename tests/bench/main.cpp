// One program for all that has to be fast: bench.py starts it, once for each measurement.

#include <fmt/format.h>

#include <exception>
#include <functional>
#include <map>

#include "tests/bench/bench.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto text = [&](std::size_t i) { return words.at(i); };
  const auto number = [&](std::size_t i) { return std::stoi(words.at(i)); };
  const std::map<std::string, std::function<void()>> measurements{
      {"raw-echo", [&] { bench::raw_echo(number(1)); }},
      {"raw-server", [] { bench::raw_server(); }},
      {"raw-client", [&] { bench::raw_client(text(1)); }},
      {"raw-spawn", [&] { bench::raw_spawn(number(1), number(2)); }},
      {"raw-rsa", [&] { bench::raw_rsa(number(1)); }},
      {"pings", [&] { bench::pings(text(1), text(2), number(3)); }},
      {"live-pings", [&] { bench::live_pings(text(1), text(2), std::chrono::microseconds(number(3))); }},
      {"commands", [&] { bench::commands(text(1), text(2), number(3)); }},
      {"whole-log", [&] { bench::whole_log(text(1), text(2), number(3)); }},
      {"strangers", [&] { bench::strangers(text(1), number(2), number(3), words.size() > 4 ? text(4) : ""); }},
      {"noise", [&] { bench::noise(text(1), number(2), static_cast<std::size_t>(number(3))); }},
      // A process with the agent's libraries that does nothing, until standard input ends.
      {"idle", [] { (void)std::getchar(); }},
  };
  const auto found = measurements.find(words.empty() ? "" : words[0]);
  if (found == measurements.end()) {
    fmt::print(stderr, "load: expected one of:");
    for (const auto& [name, measure] : measurements) fmt::print(stderr, " {}", name);
    fmt::print(stderr, "\n");
    return 2;
  }
  try {
    found->second();
  } catch (const std::exception& failure) {
    fmt::print(stderr, "load {}: {}\n", words[0], failure.what());
    return 1;
  }
}
