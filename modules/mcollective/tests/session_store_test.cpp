// Sessions in a journal that takes its time.
#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <set>

#include "session_record.hpp"
#include "session_store.hpp"
#include "support/loop_agent.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace std::chrono_literals;

namespace {

/// Commits when it is told to.
class SlowJournal final : public gorgone::test::RecordingJournal {
 public:
  std::vector<std::function<void(Result<void>)>> open;

  std::size_t bytes = 0;                            ///< that were written
  std::vector<std::map<std::string, Kept>> states;  ///< all that a kill may leave
  bool is_watched = false;

  void keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done) override {
    bytes += data.size();
    records[collection][key] = std::move(data);
    noted(std::move(done));
  }
  void drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done) override {
    records[collection].erase(key);
    noted(std::move(done));
  }
  void noted(std::function<void(Result<void>)> done) {
    if (is_watched) states.push_back(records);
    if (done) open.push_back(std::move(done));
  }
  void commit(const Result<void>& outcome = {}) {
    for (const auto& done : std::exchange(open, {})) done(outcome);
  }
};

class SlowAgent final : public gorgone::test::LoopAgent {
 public:
  SlowJournal& journal() override { return slow; }
  SlowJournal slow;
};

struct Bench {
  SlowAgent agent;
  std::optional<std::string> record = "1";
  std::string told;
  std::unique_ptr<SessionStore> store = std::make_unique<SessionStore>(agent, [this](const std::string&) { return record; });

  void keep(const std::string& routing_id, const std::string& word) {
    store->keep(routing_id, [this, word] { told += word; });
  }
  std::string written(const std::string& routing_id) { return agent.slow.records["mcollective.session"][routing_id]; }
};

/// A session of many topics, as the broker has it: one that ends leaves its place to the last one.
struct Subscriber {
  SlowAgent agent;
  std::vector<std::string> topics;
  std::unique_ptr<SessionStore> store;

  Subscriber() { begin(); }
  void begin() {
    store = std::make_unique<SessionStore>(agent, [this](const std::string&) { return record(); });
  }
  std::optional<std::string> record() const {
    if (topics.empty()) return {};
    SessionRecord session{std::string(40, 'k'), "0.2", 30000, 0, {}, {}};
    for (const auto& topic : topics) session.topics.push_back(topic);
    return write_session(session);
  }
  void add(int number) { topics.push_back(std::to_string(number) + " " + std::string(250, 'x')); }
  void remove(std::size_t place) {
    topics[place] = topics.back();
    topics.pop_back();
  }
  /// The bytes that it took.
  std::size_t keep(const Result<void>& outcome = {}) {
    const auto before = agent.slow.bytes;
    bool is_kept = false;
    store->keep("a", [&is_kept] { is_kept = true; });
    agent.slow.commit(outcome);
    CHECK(is_kept);
    return agent.slow.bytes - before;
  }
  Kept loaded() {
    auto all = agent.wait_for(store->load());
    REQUIRE(all.has_value());
    agent.slow.commit();
    return *all;
  }
  std::multiset<std::string> loaded_topics() {
    const auto all = loaded();
    if (!all.contains("a")) return {};
    const auto session = read_session(all.at("a"));
    REQUIRE(session.has_value());
    return {session->topics.begin(), session->topics.end()};
  }
};

}  // namespace

TEST_CASE("whoever waits for a session to be kept is told after the commit, and what came meanwhile is written once more") {
  Bench bench;
  bench.keep("a", "1");
  CHECK(bench.written("a") == "1");
  bench.record = "2";
  bench.keep("a", "2");
  bench.record = "3";
  bench.keep("a", "3");
  bench.keep("b", "b");
  CHECK(bench.written("a") == "1");
  CHECK(bench.told.empty());
  bench.agent.slow.commit();
  CHECK(bench.told == "1b");
  CHECK(bench.agent.slow.open.size() == 1);
  CHECK(bench.written("a") == "3");
  bench.agent.slow.commit();
  CHECK(bench.told == "1b23");
  CHECK(bench.agent.slow.open.empty());
  bench.record.reset();
  bench.keep("a", "-");
  CHECK_FALSE(bench.agent.slow.records["mcollective.session"].contains("a"));
}

TEST_CASE("what nobody waits for is written at once too, and once more where it changes meanwhile, however often") {
  Bench bench;
  bench.store->keep("a", {});
  CHECK(bench.written("a") == "1");
  for (const auto* record : {"2", "3", "4"}) {
    bench.record = record;
    bench.store->keep("a", {});
  }
  CHECK(bench.agent.slow.open.size() == 1);
  bench.keep("a", "told");
  bench.agent.slow.commit();
  CHECK(bench.written("a") == "4");
  CHECK(bench.agent.slow.open.size() == 1);
  CHECK(bench.told.empty());
  bench.agent.slow.commit();
  CHECK(bench.told == "told");
  CHECK(bench.agent.slow.open.empty());
}

TEST_CASE("a disk that hangs or refuses keeps nobody from his work, and what it did not take is written later") {
  Bench bench;
  bench.keep("a", "1");
  bench.agent.run_for(200ms);
  CHECK(bench.told.empty());
  bench.agent.run_for(500ms);
  CHECK(bench.told == "1");
  bench.record = "2";
  bench.keep("a", "2");
  bench.keep("b", "b");
  CHECK(bench.told == "12b");
  bench.agent.slow.commit();
  bench.agent.run_for(700ms);
  CHECK(bench.written("a") == "2");
  bench.agent.slow.commit();
  bench.record = "3";
  bench.keep("a", "3");
  CHECK(bench.told == "12b");
  bench.agent.slow.commit(Error{"the disk is full"});
  CHECK(bench.told == "12b3");
  bench.record = "4";
  for (int i = 0; i < 65 && bench.written("a") != "4"; ++i) bench.agent.run_for(100ms);
  CHECK(bench.written("a") == "4");
}

TEST_CASE("at its end nobody waits for the journal, and all is written before that is over") {
  Bench bench;
  bench.keep("a", "1");
  bench.record = "2";
  bench.keep("a", "2");
  bench.store->hurry();
  CHECK(bench.told == "12");
  bench.record = "3";
  bench.keep("a", "3");
  CHECK(bench.told == "123");
  bool is_over = false;
  asio::co_spawn(bench.agent.loop(), bench.store->finish(), [&](const std::exception_ptr&) { is_over = true; });
  for (int i = 0; i < 20 && !is_over; ++i) {
    CHECK(bench.written("a") != "");
    bench.agent.slow.commit();
    bench.agent.run_for(10ms);
  }
  CHECK(is_over);
  CHECK(bench.written("a") == "3");
}

TEST_CASE("a journal that commits when the store is gone finds nobody") {
  Bench bench;
  bench.keep("a", "1");
  bench.store.reset();
  bench.agent.slow.commit(Error{"too late"});
  CHECK(bench.told.empty());
}

TEST_CASE("of a client with a thousand topics that changes one of them little is written, and after a restart all is there") {
  Subscriber client;
  for (int i = 0; i < 1000; ++i) client.add(i);
  CHECK(client.keep() > 250'000);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 20; ++i) {
      client.remove(static_cast<std::size_t>(i) * 47);
      CHECK(client.keep() < 9000);
      client.add(1000 + i);
      CHECK(client.keep() < 5000);
    }
    CHECK(client.loaded().at("a") == client.record());
    // The next store knows what is there.
    client.begin();
    CHECK(client.loaded().at("a") == client.record());
  }
  client.topics.resize(3);
  client.keep();
  CHECK(client.agent.slow.records["mcollective.session_topics"].empty());
  CHECK(client.loaded().at("a") == client.record());
  for (int i = 0; i < 100; ++i) client.add(i);
  client.keep();
  client.topics.clear();
  client.keep();
  CHECK(client.agent.slow.records["mcollective.session_topics"].empty());
  CHECK(client.loaded().empty());
}

TEST_CASE("what a disk refused of a session is written again as a whole") {
  Subscriber client;
  for (int i = 0; i < 100; ++i) client.add(i);
  client.keep();
  client.add(100);
  auto& records = client.agent.slow.records;
  const auto before = records;
  client.keep(Error{"the disk is full"});
  records = before;
  client.topics.resize(90);
  client.keep(Error{"the disk is full"});
  records = before;
  CHECK(client.keep() > 20'000);
  CHECK(client.loaded().at("a") == client.record());
}

TEST_CASE("a kill between two commits costs a client no topic that it had before and has after") {
  Subscriber client;
  std::minstd_rand random(1);
  auto& journal = client.agent.slow;
  for (int step = 0; step < 150; ++step) {
    const std::multiset<std::string> before(client.topics.begin(), client.topics.end());
    // Around the number at which there are parts, and around none.
    const auto wanted = random() % 60;
    while (client.topics.size() > wanted) client.remove(random() % client.topics.size());
    while (client.topics.size() < wanted) client.add(static_cast<int>(step * 100 + static_cast<int>(client.topics.size())));
    journal.is_watched = true;
    client.keep();
    journal.is_watched = false;
    const auto after = journal.records;
    for (auto& state : std::exchange(journal.states, {})) {
      journal.records = std::move(state);
      Subscriber next;
      next.agent.slow.records = journal.records;
      const auto found = next.loaded_topics();
      for (const auto& topic : client.topics)
        if (before.contains(topic)) CHECK(found.contains(topic));
    }
    journal.records = after;
    const auto found = client.loaded_topics();
    CHECK(found == std::multiset<std::string>(client.topics.begin(), client.topics.end()));
  }
}
