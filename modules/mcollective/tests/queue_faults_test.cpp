// A journal that fails, is late, or has its records in memory only.
#include <algorithm>

#include "envelope.hpp"
#include "fake_nats.hpp"
#include "journal_queues.hpp"
#include "queue_bench.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

const std::string reply = "mcollective reply web1 1";
const std::string replies = "persistent:\n  - topic: mcollective reply * *\n";

/// Completions of messages come when the test says.
class LateJournal final : public gorgone::test::RecordingJournal {
 public:
  std::vector<std::function<void(Result<void>)>> keeps;
  std::vector<std::function<void(Result<Kept>)>> reads;
  std::vector<std::string> kept_keys, dropped;
  bool is_late = false, is_in_file = true;

  void keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done) override {
    const bool waits = is_late && collection == "mcollective.queue";
    if (waits) kept_keys.push_back(key);
    RecordingJournal::keep(std::move(collection), std::move(key), std::move(data), waits ? nullptr : std::move(done));
    if (waits) keeps.push_back(std::move(done));
  }
  void kept(std::string collection, std::function<void(Result<Kept>)> done, KeptRange range) override {
    if (is_late && collection == "mcollective.queue")
      reads.push_back(std::move(done));
    else
      RecordingJournal::kept(std::move(collection), std::move(done), std::move(range));
  }
  void drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done) override {
    dropped.push_back(key);
    RecordingJournal::drop_kept(std::move(collection), std::move(key), std::move(done));
  }
  bool is_durable() const override { return is_in_file; }
};

class LateAgent final : public gorgone::test::LoopAgent {
 public:
  LateJournal& journal() override { return late_; }

 private:
  LateJournal late_;
};

struct Fixture {
  Fixture() {
    KeptLimits limits;
    limits.pattern = "mcollective reply * *";
    limits.bytes_max = 1 << 20;
    limits.age_max = 1000s;
    queues = std::make_unique<JournalQueues>(agent, std::vector<KeptLimits>{limits});
    KeptQueues::Events events;
    events.offer = [this](const std::string&, const KeptMessage& offered) { offers.push_back(offered.frames->back()); };
    REQUIRE(agent.wait_for(queues->start(std::move(events))).has_value());
    journal.is_late = true;
  }
  void put(const std::string& body) {
    queues->put(reply, message(body), [this, body](Result<void> result) { results[body] = result ? "ok" : result.error().message; });
  }
  LateAgent agent;
  LateJournal& journal = agent.journal();
  std::unique_ptr<JournalQueues> queues;
  std::vector<std::string> offers;
  std::map<std::string, std::string> results;
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a read that finds nothing costs the message that was asked for, not one that came meanwhile") {
  put("m0");
  REQUIRE(queues->attach(reply, "web1"));
  REQUIRE(journal.reads.size() == 1);
  put("m1");
  journal.keeps.at(0)(Error{"the disk is full"});
  journal.keeps.at(1)({});
  journal.reads.at(0)(Kept{});
  CHECK(std::ranges::count(journal.dropped, journal.kept_keys.at(1)) == 0);
  REQUIRE(journal.reads.size() == 2);
  journal.reads[1](Kept{{journal.kept_keys[1], journal.records["mcollective.queue"][journal.kept_keys[1]]}});
  CHECK(offers == std::vector<std::string>{"m1"});
  CHECK(results["m0"] == "the disk is full");
  CHECK(results["m1"] == "ok");
}

TEST_CASE_METHOD(Fixture, "a message that the journal has no more is counted as lost, and those behind it are offered") {
  put("m0");
  put("m1");
  for (auto& keep : journal.keeps) keep({});
  REQUIRE(queues->attach(reply, "web1"));
  journal.reads.at(0)(Kept{});
  CHECK(queues->describe().back().at("lost") == 1);
  REQUIRE(journal.reads.size() == 2);
  journal.reads[1](Kept{{journal.kept_keys[1], journal.records["mcollective.queue"][journal.kept_keys[1]]}});
  CHECK(offers == std::vector<std::string>{"m1"});
  CHECK(queues->describe().back().at("lost") == 1);
}

TEST_CASE_METHOD(Fixture, "a message that came into the journal's memory only is refused, and is not there later") {
  put("m0");
  journal.is_in_file = false;
  journal.keeps.at(0)({});
  CHECK(results["m0"].find("the journal cannot be written now") == 0);
  CHECK(journal.records["mcollective.queue"].empty());
  put("m1");
  CHECK(journal.keeps.size() == 1);
  agent.run_for(10ms);
  CHECK(results["m1"].find("the journal cannot be written now") == 0);
  journal.is_in_file = true;
  put("m2");
  journal.keeps.at(1)({});
  CHECK(results["m2"] == "ok");
}

TEST_CASE("while the journal's file cannot be used a PUT is refused, and taken again when it can") {
  Directory directory;
  Bench bench(directory.file("missing/history.sdb"), replies);
  bench.put(reply, "m0");
  REQUIRE(within(10s, {&bench}, [&] { return bench.results.contains("m0"); }));
  CHECK(bench.results["m0"].find("the journal cannot be written now") == 0);
  std::filesystem::create_directory(directory.file("missing"));
  int attempts = 0;
  REQUIRE(within(20s, {&bench}, [&] {
    bench.put(reply, "n" + std::to_string(++attempts));
    bench.run_for(50ms);
    return bench.results["n" + std::to_string(attempts)] == "ok";
  }));
  REQUIRE(bench.queues().attach(reply, "web1"));
  REQUIRE(within(10s, {&bench}, [&] { return !bench.offers[reply].empty(); }));
  bench.run_for(100ms);
  CHECK(bench.offers[reply] == std::vector<std::string>{"n" + std::to_string(attempts)});
}

TEST_CASE("a message of which nobody has told the broker is looked for soon, not after half a minute") {
  Directory directory;
  FakeNats server;
  Envelope envelope;
  envelope.frames = message("untold");
  // As where the servers that are asked first do not have it yet, or the word of it was lost.
  server.give_next(seal(envelope), 2);
  Bench bench(directory.file("history.sdb"), server.yaml() + replies);
  REQUIRE(within(10s, {&bench}, [&] { return bench.queues().describe().at(0).at("state") == "up"; }));
  REQUIRE(bench.queues().attach(reply, "web1"));
  CHECK(within(15s, {&bench}, [&] { return !bench.offers[reply].empty(); }));
  CHECK(bench.offers[reply] == std::vector<std::string>{"untold"});
}
