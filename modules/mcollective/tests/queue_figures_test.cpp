// Figures for docs/mcollective-backbone.md; not among the tests that run by themselves: test_mcollective "[figures]"
#include <iostream>

#include "nats_cluster.hpp"
#include "queue_bench.hpp"

using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

const std::string persistent = "persistent:\n  - {topic: \"q *\", messages_max: 100000}\n";
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Puts messages of 1 kB over so many topics and has them taken; prints how many of them a second there were.
void measure(const std::string& name, Bench& bench, int topics, int messages) {
  const auto topic_of = [topics](int i) { return "q " + std::to_string(i % topics); };
  const std::string body(1000, 'x');
  auto start = Clock::now();
  for (int i = 0; i < messages; ++i) bench.put(topic_of(i), std::to_string(i) + body);
  REQUIRE(within(120s, {&bench}, [&] { return bench.results.size() == static_cast<std::size_t>(messages); }));
  const auto put_s = seconds_since(start);
  start = Clock::now();
  for (int i = 0; i < topics; ++i) bench.queues().attach(topic_of(i), "owner");
  const auto taken = [&] {
    std::size_t count = 0;
    for (const auto& [topic, bodies] : bench.offers) count += bodies.size();
    return count >= static_cast<std::size_t>(messages);
  };
  REQUIRE(within(120s, {&bench}, taken));
  std::cout << name << ", " << topics << " topics: put " << static_cast<int>(messages / put_s) << "/s, taken "
            << static_cast<int>(messages / seconds_since(start)) << "/s\n";
}

}  // namespace

TEST_CASE("figures of persistent topics", "[.figures]") {
  Directory directory;
  for (const int topics : {1, 100}) {
    Bench bench(directory.file("journal" + std::to_string(topics)), persistent);
    measure("journal", bench, topics, 20000);
  }
  NatsCluster cluster(3);
  for (const int topics : {1, 100}) {
    Bench bench(directory.file("nats" + std::to_string(topics)), cluster.yaml("f" + std::to_string(topics)) + persistent);
    REQUIRE(within(30s, {&bench}, [&] { return bench.queues().describe().at(0).at("state") == "up"; }));
    measure("three NATS servers", bench, topics, 3000);
  }
}
