#include "offer_budget.hpp"
#include "queue_bench.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

const std::string reply = "mcollective reply web1 1";
const std::string replies = "persistent:\n  - topic: mcollective reply * *\n";
using Bodies = std::vector<std::string>;

struct Fixture {
  Bench open(const std::string& yaml = replies) { return Bench(directory.file("history.sdb"), yaml); }
  Directory directory;
};

bool settle(Bench& bench, const std::function<bool()>& condition) { return within(10s, {&bench}, condition); }

}  // namespace

TEST_CASE_METHOD(Fixture, "what is put while nobody is there is offered in order to the first who subscribes") {
  auto bench = open();
  CHECK(bench.queues().is_persistent(reply));
  CHECK_FALSE(bench.queues().is_persistent("mcollective rpcutil"));
  for (const auto& body : numbered("m", 0, 200)) bench.put(reply, body);
  REQUIRE(settle(bench, [&] { return bench.results.size() == 200; }));
  CHECK(bench.results["m0"] == "ok");
  REQUIRE(bench.queues().attach(reply, "web1"));
  CHECK(bench.offers.empty());  // never from inside a call
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 200; }));
  CHECK(bench.offers[reply] == numbered("m", 0, 200));
  bench.put(reply, "later");
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 201; }));
  CHECK(bench.offers[reply].back() == "later");
}

TEST_CASE_METHOD(Fixture, "what was not taken is offered again, from the oldest, after the owner was away and after a restart") {
  {
    auto bench = open();
    bench.takes = false;
    bench.queues().attach(reply, "web1");
    for (const auto& body : numbered("m", 0, 5)) bench.put(reply, body);
    REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 5; }));
    bench.take(reply, 0);
    bench.take(reply, 1);
    bench.queues().detach(reply, "web1");
    bench.offers.clear();
    REQUIRE(bench.queues().attach(reply, "web1"));
    REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 3; }));
    CHECK(bench.offers[reply] == numbered("m", 2, 5));
  }
  auto bench = open();
  bench.put(reply, "m5");
  CHECK_FALSE(bench.queues().attach(reply, "web2"));
  REQUIRE(bench.queues().attach(reply, "web1"));
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 4; }));
  CHECK(bench.offers[reply] == numbered("m", 2, 6));
  bench.run_for(50ms);
  bench.queues().detach(reply, "web1");
  bench.offers.clear();
  bench.queues().attach(reply, "web1");
  bench.run_for(100ms);
  CHECK(bench.offers.empty());
}

TEST_CASE_METHOD(Fixture, "no more are offered than may be unconfirmed") {
  auto bench = open();
  bench.takes = false;
  bench.queues().attach(reply, "web1");
  for (const auto& body : numbered("m", 0, 300)) bench.put(reply, body);
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() >= KeptQueues::unconfirmed_max; }));
  bench.run_for(100ms);
  CHECK(bench.offers[reply].size() <= KeptQueues::unconfirmed_max);
  for (std::size_t i = 0; i < 300; ++i) {
    REQUIRE(settle(bench, [&] { return bench.offers[reply].size() > i; }));
    bench.take(reply, i);
    CHECK(bench.offers[reply].size() <= i + KeptQueues::unconfirmed_max + 1);
  }
  CHECK(bench.offers[reply] == numbered("m", 0, 300));
}

TEST_CASE_METHOD(Fixture, "of large messages only few megabytes are offered and not taken, and all come in the end") {
  auto bench = open();
  bench.takes = false;
  constexpr std::size_t large = 1'000'000, count = 12;
  for (const auto& name : numbered("m", 0, count)) bench.put(reply, name + std::string(large, 'x'));
  const std::string other = "mcollective reply web1 2", huge(10 * large, 'h');
  bench.put(other, huge);
  bench.put(other, "small");
  REQUIRE(settle(bench, [&] { return bench.results.size() == count + 2; }));
  REQUIRE(bench.queues().attach(reply, "web1"));
  REQUIRE(bench.queues().attach(other, "web1"));
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() >= 2 && bench.offers[other].size() == 1; }));
  bench.run_for(200ms);
  CHECK(bench.offers[reply].size() * large <= OfferBudget::of_queue_max);
  CHECK(bench.offers[other].size() == 1);  // it is let through, and nothing beside it
  bench.take(other, 0);
  REQUIRE(settle(bench, [&] { return bench.offers[other].size() == 2; }));
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(settle(bench, [&] { return bench.offers[reply].size() > i; }));
    CHECK((bench.offers[reply].size() - i) * large <= OfferBudget::of_queue_max);
    bench.take(reply, i);
  }
}

TEST_CASE_METHOD(Fixture, "the queues of one identity share their megabytes in turn, and those of another have their own") {
  auto bench = open();
  bench.takes = false;
  constexpr std::size_t large = 1'500'000;
  const auto topic = [](int number) { return "mcollective reply web1 " + std::to_string(number); };
  constexpr int topics = 15;
  for (int i = 0; i < topics; ++i)
    for (const auto& name : numbered("m" + std::to_string(i) + ".", 0, 2)) bench.put(topic(i), name + std::string(large, 'x'));
  bench.put("mcollective reply web2 1", "other");
  REQUIRE(settle(bench, [&] { return bench.results.size() == 2 * topics + 1; }));
  for (int i = 0; i < topics; ++i) REQUIRE(bench.queues().attach(topic(i), "web1"));
  REQUIRE(bench.queues().attach("mcollective reply web2 1", "web2"));
  const auto offered = [&] {
    std::size_t messages = 0;
    for (int i = 0; i < topics; ++i) messages += bench.offers[topic(i)].size();
    return messages;
  };
  REQUIRE(settle(bench, [&] { return offered() >= 10 && bench.offers["mcollective reply web2 1"].size() == 1; }));
  bench.run_for(200ms);
  CHECK(offered() * large <= OfferBudget::of_identity_max);
  std::map<int, std::size_t> taken;
  REQUIRE(settle(bench, [&] {
    for (int i = 0; i < topics; ++i)
      for (; taken[i] < bench.offers[topic(i)].size(); ++taken[i]) bench.take(topic(i), taken[i]);
    return offered() == 2 * topics;
  }));
  // Whoever goes away gives up his place.
  bench.queues().attach(topic(0), "web1");
  bench.run_for(20ms);
  CHECK(offered() == 2 * topics);
}

TEST_CASE_METHOD(Fixture, "each topic that holds messages is charged for what it takes in memory, and no more when it is empty") {
  auto bench = open("persistent:\n  - {topic: \"mcollective reply * *\", bytes_max: 65536}\n");
  const auto topic = [](int number) { return "mcollective reply web1 " + std::to_string(number); };
  for (int i = 0; i < 100; ++i) bench.put(topic(i), "m" + std::to_string(i));
  REQUIRE(settle(bench, [&] { return bench.results.size() == 100; }));
  CHECK(bench.results["m50"] == "ok");
  CHECK(bench.results["m99"].find("800 for each topic among them, bytes_max of \"mcollective reply * *\" is 65536") != std::string::npos);
  for (int i = 0; i < 60; ++i) bench.queues().attach(topic(i), "web1");
  REQUIRE(settle(bench, [&] {
    for (int i = 0; i < 60; ++i)
      if (bench.offers[topic(i)].empty()) return false;
    return true;
  }));
  for (int i = 100; i < 150; ++i) bench.put(topic(i), "n" + std::to_string(i));
  REQUIRE(settle(bench, [&] { return bench.results.size() == 150; }));
  CHECK(bench.results["n149"] == "ok");
}

TEST_CASE_METHOD(Fixture, "a full queue refuses with its limit, and takes again when there is room") {
  auto bench = open("persistent:\n  - {topic: \"mcollective reply * *\", messages_max: 3}\n  - {topic: \"big *\", bytes_max: 65536}\n");
  for (const auto& body : numbered("m", 0, 4)) bench.put(reply, body);
  bench.put("big a", std::string(60000, 'a'));
  bench.put("big b", std::string(6000, 'b'));
  REQUIRE(settle(bench, [&] { return bench.results.size() == 6; }));
  CHECK(bench.results["m2"] == "ok");
  CHECK(bench.results["m3"] ==
        "the queue of topic \"mcollective reply web1 1\" is full: 3 messages wait, messages_max of \"mcollective reply * *\" is 3");
  CHECK(bench.results[std::string(60000, 'a')] == "ok");
  CHECK(bench.results[std::string(6000, 'b')].find("bytes_max of \"big *\" is 65536") != std::string::npos);
  bench.queues().attach(reply, "web1");
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 3; }));
  bench.put(reply, "again");
  REQUIRE(settle(bench, [&] { return bench.results.contains("again"); }));
  CHECK(bench.results["again"] == "ok");
}

TEST_CASE_METHOD(Fixture, "what is too old is dropped and counted, also what was offered and not taken") {
  auto bench = open("persistent:\n  - {topic: \"mcollective reply * *\", age_max_s: 1}\n");
  bench.takes = false;
  bench.queues().attach(reply, "web1");
  bench.put(reply, "old");
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 1; }));
  const auto expired = [&] {
    const auto all = bench.queues().describe();
    return all.back().at("expired").to_number<int>() == 1;
  };
  REQUIRE(within(5s, {&bench}, expired));
  bench.take(reply, 0);
  bench.put(reply, "new");
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 2; }));
  CHECK(bench.offers[reply].back() == "new");
}

TEST_CASE_METHOD(Fixture, "a queue that its owner does not want any more can be another's, with what it holds") {
  auto bench = open();
  bench.put(reply, "left");
  REQUIRE(bench.queues().attach("mcollective reply other 1", "web1"));
  REQUIRE(bench.queues().attach(reply, "web1"));
  bench.takes = false;
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 1; }));
  bench.queues().disown(reply, "web2");
  CHECK_FALSE(bench.queues().attach(reply, "web2"));
  bench.queues().disown(reply, "web1");
  bench.offers.clear();
  REQUIRE(bench.queues().attach(reply, "web2"));
  REQUIRE(settle(bench, [&] { return bench.offers[reply].size() == 1; }));
  CHECK(bench.offers[reply] == Bodies{"left"});
  CHECK_FALSE(bench.queues().attach("mcollective rpcutil", "web1"));
}

TEST_CASE_METHOD(Fixture, "thousands of large messages wait in the file, not in memory") {
  const std::string body(100'000, 'x');
  const auto memory = [] {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line))
      if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
    return 0L;
  };
  {
    auto bench = open();
    bench.put(reply, "warm" + body);
    REQUIRE(settle(bench, [&] { return bench.results.size() == 1; }));
    [[maybe_unused]] const auto before = memory();
    for (int i = 0; i < 600; ++i) {
      const auto text = std::to_string(i);
      bench.queues().put(reply, message(text + body), [&bench, text](Result<void>) { bench.results[text] = "ok"; });
      if (i % 20 == 19) REQUIRE(settle(bench, [&] { return bench.results.contains(text); }));
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose heaps give back when they like
    CHECK(memory() - before < 30'000);                               // kB, of 60 MB
#endif
  }
  auto bench = open();
  bench.queues().attach(reply, "web1");
  std::size_t count = 0;
  REQUIRE(within(30s, {&bench}, [&] {
    count += bench.offers[reply].size();
    bench.offers[reply].clear();
    return count == 601;
  }));
}
