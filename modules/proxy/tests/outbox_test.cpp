#include "outbox.hpp"

#include <catch2/catch.hpp>
#include <support/loop_agent.hpp>

namespace {

using namespace gorgone;
using namespace std::chrono_literals;
using proxy::Homeless;

/// An outbox that can be read when it is told to.
struct LockedJournal : test::RecordingJournal {
  bool is_locked = true;
  std::vector<StoredMessage> stored;
  void outgoing(std::function<void(Result<std::vector<StoredMessage>>)> done) override {
    if (is_locked) return done(Error{"it cannot be read now", "unreadable"});
    done(stored);
  }
};

struct LockedAgent : test::LoopAgent {
  Journal& journal() override { return locked; }
  LockedJournal locked;
};

StoredMessage stored(const std::string& delivery) { return {delivery, "COMMAND", "token", "2", "{}", std::time(nullptr) + 100}; }

Message message(const std::string& delivery) {
  Message made{"COMMAND", "token", "2", Payload("{}"), {}};
  made.delivery = delivery;
  made.ttl_s = 100;
  return made;
}

struct Fixture {
  LockedAgent agent;
  std::vector<std::string> placed;
  Homeless::Place place = [this](Message& one) {
    placed.push_back(one.delivery);
    return true;
  };

  void load(Homeless& homeless) {
    agent.spawn(homeless.load());
    agent.run();
  }
  // As the proxy does.
  void accept(Homeless& homeless, const std::string& delivery) {
    homeless.stored(delivery, true);
    agent.locked.stored.push_back(stored(delivery));
    auto one = message(delivery);
    if (homeless.holds_back())
      homeless.hold(std::move(one));
    else
      place(one);
  }
};

}  // namespace

TEST_CASE("what is accepted while the outbox cannot be read goes behind what it holds, once") {
  Fixture test;
  test.agent.locked.stored = {stored("old")};
  Homeless homeless(test.agent, test.place);
  test.load(homeless);
  CHECK(homeless.is_unread());
  test.accept(homeless, "new");
  CHECK(test.placed.empty());
  test.agent.locked.is_locked = false;
  test.agent.run_for(1500ms);
  CHECK_FALSE(homeless.is_unread());
  CHECK(test.placed == std::vector<std::string>{"old", "new"});
}

TEST_CASE("an outbox that cannot be read for long holds back nothing for ever, and what it holds is sent once it can be") {
  Fixture test;
  test.agent.locked.stored = {stored("old")};
  Homeless homeless(test.agent, test.place, 2);
  test.load(homeless);
  test.accept(homeless, "first");
  CHECK(test.placed.empty());
  test.agent.run_for(3500ms);
  CHECK(test.placed == std::vector<std::string>{"first"});
  test.accept(homeless, "second");
  CHECK(test.placed == std::vector<std::string>{"first", "second"});
  test.agent.locked.is_locked = false;
  test.agent.run_for(1500ms);
  CHECK(test.placed == std::vector<std::string>{"first", "second", "old"});
}

TEST_CASE("what was refused while the outbox could not be read, or known already, does not keep back what the outbox holds") {
  Fixture test;
  test.agent.locked.stored = {stored("refused"), stored("known"), stored("taken")};
  Homeless homeless(test.agent, test.place);
  test.load(homeless);
  homeless.stored("refused", Error{"the outbox is full", "busy"});
  homeless.stored("known", false);
  homeless.stored("taken", true);
  test.agent.locked.is_locked = false;
  test.agent.run_for(1500ms);
  CHECK(test.placed == std::vector<std::string>{"refused", "known"});
}

TEST_CASE("an outbox that can be read at the start waits for its nodes") {
  Fixture test;
  test.agent.locked.is_locked = false;
  test.agent.locked.stored = {stored("old")};
  Homeless homeless(test.agent, test.place);
  test.load(homeless);
  CHECK_FALSE(homeless.is_unread());
  CHECK(test.placed.empty());
  homeless.settle();
  CHECK(test.placed == std::vector<std::string>{"old"});
}

TEST_CASE("what is too old when the outbox is read goes to no node, and is given up when the clock had time to be put right") {
  Fixture test;
  test.agent.locked.is_locked = false;
  test.agent.locked.stored = {stored("old"), stored("late")};
  test.agent.locked.stored[1].until = std::time(nullptr) - 1;
  Homeless homeless(test.agent, test.place, 60, 1);
  test.load(homeless);
  homeless.settle();
  CHECK(test.placed == std::vector<std::string>{"old"});
  CHECK(test.agent.locked.rows.empty());
  test.agent.run_for(10500ms);
  CHECK(test.placed == std::vector<std::string>{"old"});
  REQUIRE(test.agent.locked.rows.size() == 1);
  CHECK(test.agent.locked.rows[0].data.find("was over before") != std::string::npos);
}
