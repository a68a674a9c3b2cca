// Who owns a queue, over time and restarts, without a backbone.
#include <ctime>
#include <thread>

#include "queue_bench.hpp"
#include "queue_owners.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

const std::string reply = "mcollective reply web1 1";

std::string for_seconds(int age_max_s) {
  return "persistent:\n  - {topic: \"mcollective reply * *\", age_max_s: " + std::to_string(age_max_s) + "}\n";
}

struct Fixture {
  Bench open(const std::string& yaml) { return Bench(directory.file("history.sdb"), yaml); }
  Directory directory;
};

bool attach(Bench& bench, const std::string& identity, int number) {
  return bench.queues().attach("mcollective reply " + identity + " " + std::to_string(number), identity);
}

}  // namespace

TEST_CASE_METHOD(Fixture, "an owner that was here until a restart owns its queue after it, however long it had been here") {
  {
    auto bench = open(for_seconds(2));
    REQUIRE(bench.queues().attach(reply, "web1"));
    bench.run_for(4s);
  }
  auto bench = open(for_seconds(2));
  bench.run_for(100ms);
  CHECK_FALSE(bench.queues().attach(reply, "web2"));
  CHECK(bench.queues().attach(reply, "web1"));
}

TEST_CASE_METHOD(Fixture, "the time that an owner has been away counts on after a restart, the time without a broker does not") {
  const std::string other = "mcollective reply web2 1";
  {
    auto bench = open(for_seconds(6));
    REQUIRE(bench.queues().attach(reply, "web1"));
    REQUIRE(bench.queues().attach(other, "web2"));
    bench.queues().detach(other, "web2");
    bench.run_for(4s);
    bench.queues().detach(reply, "web1");
  }
  std::this_thread::sleep_for(3s);
  auto bench = open(for_seconds(6));
  bench.run_for(100ms);
  CHECK(bench.freed.empty());
  REQUIRE(within(5s, {&bench}, [&] { return !bench.freed.empty(); }));
  CHECK(bench.freed == std::vector<std::string>{other});
}

TEST_CASE_METHOD(Fixture, "the time that the only owner has been away counts on after a restart too") {
  {
    auto bench = open(for_seconds(6));
    REQUIRE(bench.queues().attach(reply, "web1"));
    bench.queues().detach(reply, "web1");
    bench.run_for(4s);
  }
  std::this_thread::sleep_for(3s);
  auto bench = open(for_seconds(6));
  bench.run_for(100ms);
  CHECK(bench.freed.empty());
  CHECK(within(5s, {&bench}, [&] { return !bench.freed.empty(); }));
}

TEST_CASE_METHOD(Fixture, "the record of an owner who is here is renewed while it is, long before it is too old") {
  auto bench = open(for_seconds(4));
  REQUIRE(bench.queues().attach(reply, "web1"));
  const auto begun = std::time(nullptr);
  const auto seen = [&] {
    std::int64_t seconds = 0;
    bench.agent().journal().kept("mcollective.owner", [&](Result<Kept> records) {
      if (records && records->size() == 2) seconds = std::stoll(records->rbegin()->second);  // the first is the broker's own
    });
    bench.run_for(50ms);
    return seconds;
  };
  CHECK(within(10s, {&bench}, [&] { return seen() >= begun + 2; }));
}

TEST_CASE_METHOD(Fixture, "an owner that has been away for too long is told, so that who is there may have the queue") {
  auto bench = open(for_seconds(1));
  REQUIRE(bench.queues().attach(reply, "web1"));
  CHECK_FALSE(bench.queues().attach(reply, "web2"));
  bench.run_for(3s);
  CHECK(bench.freed.empty());
  bench.queues().detach(reply, "web1");
  REQUIRE(within(10s, {&bench}, [&] { return !bench.freed.empty(); }));
  CHECK(bench.freed == std::vector<std::string>{reply});
  CHECK(bench.queues().attach(reply, "web2"));
}

TEST_CASE_METHOD(Fixture, "one identity gets so many queues and no more, which takes none from others, and has them back in time") {
  auto bench = open(for_seconds(1));
  const auto most = static_cast<int>(QueueOwners::of_one_max);
  int got = 0;
  for (int i = 0; i <= most; ++i) {
    if (attach(bench, "web1", i)) ++got;
    bench.queues().detach("mcollective reply web1 " + std::to_string(i), "web1");
  }
  CHECK(got == most);
  CHECK_FALSE(attach(bench, "web1", most));
  CHECK(attach(bench, "web1", most - 1));  // it is its own already
  CHECK(attach(bench, "web2", 1));
  CHECK(within(20s, {&bench}, [&] { return bench.freed.size() + 1 >= QueueOwners::of_one_max; }));
  CHECK(attach(bench, "web1", most));
}

TEST_CASE_METHOD(Fixture, "a timer that is up when the queues end does not look at them any more") {
  auto bench = open(for_seconds(100));
  asio::steady_timer ends(bench.agent().loop(), 900ms);
  ends.async_wait([&](const boost::system::error_code&) { bench.end_queues(); });
  std::this_thread::sleep_for(1300ms);  // both are up in the same pass of the loop
  bench.run_for(50ms);
  SUCCEED();
}
