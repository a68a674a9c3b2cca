// Sessions in a journal that takes its time.
#include <catch2/catch.hpp>

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

  void keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done) override {
    records[collection][key] = std::move(data);
    open.push_back(std::move(done));
  }
  void drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done) override {
    records[collection].erase(key);
    open.push_back(std::move(done));
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
