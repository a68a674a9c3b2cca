#include "core/token_listeners.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <functional>
#include <vector>

#include "core/journal/journal_file.hpp"

using namespace gorgone;

namespace {

struct Fixture {
  boost::asio::io_context loop;
  JournalFile journal{loop, ":memory:"};
  Router router{journal};
  TokenListeners listeners{loop, journal, router};
  std::vector<Reply> asked;  // of the action LATER, which answers when the test says so

  Fixture() {
    router.add_core_action({"LATER", {}, {}}, [this](const Message&, Reply reply) { asked.push_back(std::move(reply)); });
    router.add_core_action({"AT_ONCE", {}, {}}, [this](const Message&, const Reply& reply) {
      asked.push_back({});
      reply(Answer{"ACK", {}, code::failed, Payload("{}")});
    });
  }
  void listen(const char* event) {
    const json::value list = {json::object{{"event", event}, {"token", "x"}}};
    REQUIRE(listeners.add(list).has_value());
  }
  void write_row() {
    bool written = false;
    std::vector<NewRow> rows{NewRow{"x", code::command_result, "{}"}};
    journal.write(std::move(rows), [&](const Result<void>&) { written = true; });
    auto work = boost::asio::make_work_guard(loop);
    loop.restart();
    while (!written) loop.run_one();
    loop.poll();
  }
};

// Uses the stack, so that what was left behind there is written over.
int deep(int depth) {
  volatile char bytes[256] = {};
  return depth == 0 ? bytes[0] : deep(depth - 1) + bytes[depth % 256];
}

}  // namespace

TEST_CASE("a token listener whose event is refused later ends then, and hears no further row") {
  Fixture test;
  test.listen("LATER");
  test.write_row();
  REQUIRE(test.asked.size() == 1);
  CHECK(deep(20) == 0);
  test.asked[0](Answer{"ACK", {}, code::failed, Payload("{}")});
  test.write_row();
  CHECK(test.asked.size() == 1);
}

TEST_CASE("a token listener whose event is taken hears the next row too") {
  Fixture test;
  test.listen("LATER");
  test.write_row();
  REQUIRE(test.asked.size() == 1);
  test.asked[0](Answer{"ACK", {}, code::begun, Payload("{}")});
  test.write_row();
  CHECK(test.asked.size() == 2);
}

TEST_CASE("a token listener whose event is refused at once ends") {
  Fixture test;
  test.listen("AT_ONCE");
  test.write_row();
  test.write_row();
  CHECK(test.asked.size() == 1);
}

TEST_CASE("an answer that comes when the token listeners have ended harms nothing") {
  Fixture test;
  test.listen("LATER");
  test.write_row();
  REQUIRE(test.asked.size() == 1);
  test.listeners.clear();
  test.asked[0](Answer{"ACK", {}, code::failed, Payload("{}")});
  test.listen("LATER");
  test.write_row();
  CHECK(test.asked.size() == 2);
}
