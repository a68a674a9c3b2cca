#include "log_sync.hpp"

#include <catch2/catch.hpp>
#include <support/loop_agent.hpp>

#include <tuple>

namespace {

using namespace gorgone;
using gorgone::proxy::LogSync;

// Stores when it is told to.
struct LateJournal : test::RecordingJournal {
  std::vector<std::function<void(Result<void>)>> owed;
  void store_fetched(std::string node, double newest, std::vector<NewRow> added, std::function<void(Result<void>)> done) override {
    test::RecordingJournal::store_fetched(std::move(node), newest, std::move(added), [](const Result<void>&) {});
    stored += fetched.rows.size();
    owed.push_back(std::move(done));
  }
  std::size_t stored = 0;
};

struct LateAgent : test::LoopAgent {
  Journal& journal() override { return late; }
  LateJournal late;
};

template <class TheAgent>
struct AskingOf {
  TheAgent agent;
  std::vector<Message> sent;
  LogSync log{agent, "2", {}, [this](const Message& message) {
                sent.push_back(message);
                return Result<void>{};
              }};

  Message answer(const Message& question, const std::string& token) const {
    const json::object row{{"id", "1"}, {"token", token}, {"code", 2}, {"etime", 1}, {"ctime", 1.5}, {"instant", 0}, {"data", "{}"}};
    return {"ACK",
            question.token,
            {},
            Payload(json::value(json::object{{"code", 0}, {"data", json::object{{"result", json::array{row}}}}})),
            {}};
  }
};

using Asking = AskingOf<test::LoopAgent>;

}  // namespace

TEST_CASE("a node that leaves a question for its log unanswered is asked again, ever more slowly") {
  Asking node;
  node.log.link_up(100);
  REQUIRE(node.sent.size() == 1);
  std::vector<std::int64_t> times;
  for (std::int64_t now = 100; now < 120; ++now) {
    const auto before = node.sent.size();
    node.log.on_clock(now);
    if (node.sent.size() > before) times.push_back(now);
  }
  REQUIRE(times.size() >= 3);
  CHECK(times.front() <= 102);
  for (std::size_t index = 2; index < times.size(); ++index) CHECK(times[index] - times[index - 1] > times[index - 1] - times[index - 2]);
}

TEST_CASE("whichever question is answered first counts, and the others' answers bring nothing twice while its rows are being stored") {
  AskingOf<LateAgent> node;
  bool is_done = false;
  node.log.link_up(100);
  node.log.on_clock(103);
  REQUIRE(node.sent.size() == 2);
  CHECK(node.log.take_answer(node.answer(node.sent[0], "a"), 103));
  CHECK_FALSE(node.log.take_answer(node.answer(node.sent[1], "a"), 103));
  for (std::int64_t now = 103; now < 120; ++now) node.log.on_clock(now);
  CHECK(node.sent.size() == 2);
  CHECK(node.agent.late.stored == 1);
  REQUIRE(node.agent.late.owed.size() == 1);
  node.agent.late.owed[0](Result<void>{});
  node.log.fetch(
      {}, [&](const Result<void>&) { is_done = true; }, 120);
  REQUIRE(node.sent.size() == 3);
  CHECK_FALSE(is_done);
}

TEST_CASE("nothing is asked while rows are being stored, and where they are refused they are asked for again") {
  AskingOf<LateAgent> node;
  const auto asked_from = [&node] { return number_of(member(**node.sent.back().data.json(), "ctime")).value_or(-1); };
  node.log.link_up(100);
  CHECK(node.log.take_answer(node.answer(node.sent[0], "a"), 100));
  REQUIRE(node.agent.late.owed.size() == 1);
  node.log.link_down("lost");
  node.log.link_up(101);
  for (std::int64_t now = 101; now < 120; ++now) node.log.on_clock(now);
  CHECK(node.sent.size() == 1);
  node.agent.late.owed[0](Error{"64 MB wait for its disk already", "busy"});
  REQUIRE(node.sent.size() == 2);
  CHECK(asked_from() == 0);

  CHECK(node.log.take_answer(node.answer(node.sent[1], "a"), 120));
  REQUIRE(node.agent.late.owed.size() == 2);
  node.log.link_down("lost");
  node.log.link_up(121);
  node.agent.late.owed[1](Result<void>{});
  REQUIRE(node.sent.size() == 3);
  CHECK(asked_from() == 1.5);
}

TEST_CASE("a node that holds the question is not asked again meanwhile") {
  Asking node;
  node.log.set_can_hold(true);
  node.log.link_up(100);
  CHECK(node.log.take_answer(node.answer(node.sent[0], "a"), 100));
  const auto asked = node.sent.size();
  for (std::int64_t now = 100; now < 300; now += 10) node.log.on_clock(now);
  CHECK(node.sent.size() == asked);
}

TEST_CASE("a deployed node's row from the future does not hide later ones and is stored once") {
  Asking node;
  std::vector<NewRow> stored;
  node.log.link_up(100);
  auto answer = node.answer(node.sent[0], "a");
  auto data = **answer.data.json();
  data.at("data").at("result").as_array()[0].as_object()["ctime"] = 4e9;
  CHECK(node.log.take_answer({"ACK", node.sent[0].token, {}, Payload(json::value(data)), {}}, 100));
  CHECK(node.agent.recorded().fetched.newest < 4e9);
  REQUIRE(node.agent.recorded().fetched.rows.size() == 1);
  CHECK(node.agent.recorded().fetched.rows[0].unless_known);
}

TEST_CASE("a journal that is slow to say what is here makes no clock tick without end") {
  struct SlowJournal : test::RecordingJournal {
    void fetched_until(std::string, std::function<void(Result<double>)>) override {}
  };
  struct SlowAgent : test::LoopAgent {
    Journal& journal() override { return slow; }
    SlowJournal slow;
  };
  SlowAgent agent;
  LogSync log(agent, "2", {}, [](const Message&) { return Result<void>{}; });
  log.link_up(100);
  for (std::int64_t now = 100; now < 120; ++now) {
    log.on_clock(now);
    REQUIRE(log.deadline());
    CHECK(*log.deadline() > now);
  }
}

TEST_CASE("another journal of a node is fetched from its beginning, without the rows that are here already") {
  Asking node;
  auto ctime_asked = [&] { return number_of(member(**node.sent.back().data.json(), "ctime")).value_or(-1); };
  node.log.set_can_hold(true);
  node.log.set_journal("first");
  node.log.link_up(100);
  CHECK(node.log.take_answer(node.answer(node.sent[0], "a"), 100));
  CHECK(node.agent.recorded().records["proxy.journal"]["2"] == "first");
  node.log.set_journal("first");
  REQUIRE(node.sent.size() == 2);
  CHECK(ctime_asked() == 1.5);
  CHECK_FALSE(node.agent.recorded().fetched.rows[0].unless_known);
  node.log.set_journal("second");
  REQUIRE(node.sent.size() == 3);
  CHECK(ctime_asked() == 0);
  CHECK(node.agent.recorded().fetched.newest == 0);
  CHECK(node.agent.recorded().records["proxy.journal"]["2"] == "second");
  CHECK_FALSE(node.log.take_answer(node.answer(node.sent[1], "b"), 101));  // of the question before
  CHECK(node.log.take_answer(node.answer(node.sent[2], "b"), 101));
  CHECK(node.agent.recorded().fetched.rows[0].unless_known);
  CHECK(node.log.take_answer(node.answer(node.sent.back(), "c"), 102));
  CHECK_FALSE(node.agent.recorded().fetched.rows[0].unless_known);
}

TEST_CASE("a journal that was another before the start of this daemon is noticed at its first word") {
  Asking node;
  node.agent.recorded().records["proxy.journal"]["2"] = "first";
  node.log.set_can_hold(true);
  node.log.set_journal("second");
  node.log.link_up(100);
  REQUIRE(node.sent.size() == 1);
  CHECK(node.log.take_answer(node.answer(node.sent[0], "a"), 100));
  CHECK(node.agent.recorded().fetched.rows[0].unless_known);
  CHECK(node.agent.recorded().records["proxy.journal"]["2"] == "second");
}

TEST_CASE("a row has the origin that comes with it, else the node's own, and two of one ctime are two") {
  Asking node;
  node.log.set_can_hold(true);
  node.log.link_up(100);
  CHECK(truth_of(member(**node.sent[0].data.json(), "origins"), false));
  json::array rows;
  for (const auto* id : {"1", "2", "3"})
    rows.push_back(json::object{{"id", id}, {"token", "a"}, {"code", 4}, {"etime", 1}, {"ctime", 1.5}, {"instant", 0}, {"data", "{}"}});
  rows[2].as_object()["origin"] = "1.25000/9";
  const Payload data(json::value(json::object{{"code", 0}, {"data", json::object{{"result", std::move(rows)}}}}));
  CHECK(node.log.take_answer({"ACK", node.sent[0].token, {}, data, {}}, 100));
  const auto& stored = node.agent.recorded().fetched.rows;
  REQUIRE(stored.size() == 3);
  CHECK(stored[0].origin == "1.50000/2");
  CHECK(stored[1].origin == "1.50000/2/1");
  CHECK(stored[2].origin == "1.25000/9");
}

TEST_CASE("rows of a node that writes more decimals than five are two where they are alike in these") {
  Asking node;
  node.log.link_up(100);
  json::array rows;
  for (const double ctime : {1795423853.65464, 1795423853.654641, 1795423853.654644})
    rows.push_back(json::object{{"id", 1}, {"token", "a"}, {"code", 0}, {"etime", 1}, {"ctime", ctime}, {"instant", 0}, {"data", "{}"}});
  const Payload data(json::value(json::object{{"code", 0}, {"data", json::object{{"result", std::move(rows)}}}}));
  CHECK(node.log.take_answer({"ACK", node.sent[0].token, {}, data, {}}, 100));
  const auto& stored = node.agent.recorded().fetched.rows;
  REQUIRE(stored.size() == 3);
  CHECK(stored[0].origin == "1795423853.65464/2");
  CHECK(stored[1].origin != stored[0].origin);
  CHECK(stored[2].origin != stored[1].origin);
}

TEST_CASE("an answer that is long on its way is waited for, and not asked for again") {
  test::LoopAgent agent;
  LinkFlow flow;
  std::vector<Message> sent;
  LogSync log(
      agent, "2", {},
      [&](const Message& message) {
        sent.push_back(message);
        return Result<void>{};
      },
      [&] { return flow; });
  log.link_up(100);
  for (std::int64_t now = 101; now < 200; ++now) {
    flow.received += 20000;
    log.on_clock(now);
  }
  CHECK(sent.size() == 1);
  CHECK(log.deadline() <= 230);
  // Nothing comes any more.
  for (std::int64_t now = 200; now < 230; ++now) log.on_clock(now);
  CHECK(sent.size() > 1);
  bool is_told = false;
  log.fetch(
      {}, [&](const Result<void>& outcome) { is_told = !outcome; }, 230);
  for (std::int64_t now = 230; now < 300 && !is_told; ++now) log.on_clock(now);
  CHECK(is_told);
}

namespace {

struct AllJournal : test::RecordingJournal {
  std::vector<std::string> tokens;
  void store_fetched(std::string node, double newest, std::vector<NewRow> added, std::function<void(Result<void>)> done) override {
    for (const auto& row : added) tokens.push_back(row.token);
    test::RecordingJournal::store_fetched(std::move(node), newest, std::move(added), std::move(done));
  }
};

struct AllAgent : test::LoopAgent {
  Journal& journal() override { return all; }
  AllJournal all;
};

// A node of ours whose log has more rows than a portion.
struct LongLog : AskingOf<AllAgent> {
  std::vector<std::size_t> told;  // how many rows were here when it was said that the wish is fulfilled

  LongLog() {
    log.set_can_hold(true);
    log.link_up(100);
  }
  void wish(const std::string& subnode) {
    log.fetch(
        subnode, [this](const Result<void>& outcome) { told.push_back(outcome ? agent.all.tokens.size() : 0); }, 100);
  }
  double asked(const char* name) const { return number_of(member(**sent.back().data.json(), name)).value_or(-1); }
  bool answer_portion(int first, int last, bool has_more) {
    json::array rows;
    for (int row = first; row <= last; ++row)
      rows.push_back(
          json::object{{"id", std::to_string(row)}, {"token", std::to_string(row)}, {"code", 4}, {"ctime", row}, {"data", "{}"}});
    json::object data{{"result", std::move(rows)}};
    if (has_more) data["more"] = 1;
    const Payload answer(json::value(json::object{{"code", 0}, {"data", std::move(data)}}));
    return log.take_answer({"ACK", sent.back().token, {}, answer, {}}, 100);
  }
};

}  // namespace

TEST_CASE("a log of several portions is fetched to its end at once, each row once, and who wishes for it is told behind the last") {
  LongLog node;
  node.wish({});
  CHECK(node.asked("portion") == 1000);
  for (const auto& [first, last, has_more] : {std::tuple{1, 1000, true}, {1001, 2000, true}, {2001, 2500, false}}) {
    CHECK(node.asked("ctime") == first - 1);
    CHECK(node.asked("wait") == -1);  // there is more: nothing to wait for
    CHECK(node.told.empty());
    const auto before = node.sent.size();
    CHECK(node.answer_portion(first, last, has_more));
    REQUIRE(node.sent.size() == before + 1);
  }
  CHECK(node.told == std::vector<std::size_t>{2500});
  CHECK(node.asked("ctime") == 2500);
  CHECK(node.asked("wait") == 300);
  REQUIRE(node.agent.all.tokens.size() == 2500);
  for (std::size_t row = 0; row < 2500; ++row) REQUIRE(node.agent.all.tokens[row] == std::to_string(row + 1));
}

TEST_CASE("a node that says there is more and tells nothing newer is not asked for it without end") {
  LongLog node;
  node.wish({});
  CHECK(node.answer_portion(1, 10, true));
  CHECK(node.asked("wait") == -1);
  CHECK(node.answer_portion(1, 10, true));
  CHECK(node.told == std::vector<std::size_t>{20});
  CHECK(node.asked("wait") == 300);  // that is a question which it should hold
}

TEST_CASE("who wishes for the log of a node behind it is told behind its last portion, for which that node is not asked again") {
  LongLog node;
  CHECK(node.answer_portion(1, 0, false));
  node.wish("3");
  CHECK(node.sent.back().target == "3");
  CHECK(node.answer_portion(1, 1000, true));
  CHECK(node.told.empty());
  CHECK(node.sent.back().target.empty());
  CHECK(node.asked("ctime") == 1000);
  CHECK(node.answer_portion(1001, 1200, false));
  CHECK(node.told == std::vector<std::size_t>{1200});
}
