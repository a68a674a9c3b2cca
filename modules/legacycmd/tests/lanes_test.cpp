// The order of a lane's lines, whenever they are refused.
#include "lanes.hpp"

#include <support/loop_agent.hpp>

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::legacycmd;
using namespace std::chrono_literals;

namespace {

/// Answers nothing by itself.
struct SilentAgent : gorgone::test::LoopAgent {
  struct Given {
    std::string delivery;
    Reply reply;
  };
  std::vector<Given> given;
  void submit(Message message, Reply reply) override { given.push_back({message.token, std::move(reply)}); }
};

struct LanesFixture {
  SilentAgent agent;
  Database database{agent, DatabaseAccess{}};
  Pollers pollers{agent, database, 60s};
  Follower follower{agent, pollers};
  Lanes lanes{agent, pollers, follower, Paths{}};
  std::vector<std::string> done;

  ~LanesFixture() {
    agent.cancel_all();
    agent.run_for(1ms);
  }
  /// A line that needs nothing of the database.
  void add(const std::string& id) {
    Job job;
    job.id = id;
    job.unit.line.command = "STARTWORKER";
    job.done = [this, id](const Result<void>&) { done.push_back(id); };
    lanes.add(std::move(job));
  }
  void answer(std::size_t number, const char* error = nullptr) {
    const auto reply = std::exchange(agent.given.at(number).reply, {});
    Answer answer;
    if (error) {
      answer.code = code::failed;
      answer.data = Payload(json::value(json::object{{"error", error}, {"message", "no"}}));
    }
    reply(answer);
  }
  std::vector<std::string> given() const {
    std::vector<std::string> all;
    for (const auto& one : agent.given) all.push_back(one.delivery.substr(0, 1));
    return all;
  }
};

}  // namespace

TEST_CASE_METHOD(LanesFixture, "lines that are refused for now when others were given away behind them go first, in their order") {
  for (const auto* id : {"a", "b", "c"}) add(id);
  agent.run_for(50ms);
  REQUIRE(given() == std::vector<std::string>{"a", "b", "c"});
  answer(0);
  answer(2, "journal");
  answer(1, "journal");
  add("d");
  add("e");
  agent.run_for(500ms);
  // Its answer decides whether the next may go.
  REQUIRE(given() == std::vector<std::string>{"a", "b", "c", "b"});
  answer(3, "busy");
  agent.run_for(500ms);
  REQUIRE(given().size() == 5);
  answer(4);
  agent.run_for(50ms);
  answer(5);
  agent.run_for(50ms);
  CHECK(given() == std::vector<std::string>{"a", "b", "c", "b", "b", "c", "d", "e"});
  CHECK(done == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE_METHOD(LanesFixture, "what is not accepted yet is counted, and no longer than that") {
  add("a");
  add("b");
  const auto both = lanes.bytes();
  agent.run_for(50ms);
  REQUIRE(given().size() == 2);
  CHECK(lanes.bytes() == both);
  answer(1, "unknown_target");
  CHECK(lanes.bytes() == both / 2);
  answer(0, "journal");
  CHECK(lanes.bytes() == both / 2);
  agent.run_for(500ms);
  answer(2);
  agent.run_for(50ms);
  CHECK(lanes.bytes() == 0);
  CHECK(lanes.bytes_of_lanes().empty());
  CHECK(done == std::vector<std::string>{"b", "a"});
}

TEST_CASE_METHOD(LanesFixture, "a line whose answer never comes is given away again") {
  add("a");
  agent.run_for(50ms);
  agent.given.at(0).reply = {};
  agent.run_for(500ms);
  CHECK(given() == std::vector<std::string>{"a", "a"});
}
