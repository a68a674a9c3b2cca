// What a broker makes of the answers of a NATS server in trouble.
#include "envelope.hpp"
#include "fake_nats.hpp"
#include "offer_budget.hpp"
#include "queue_bench.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

const std::string reply = "mcollective reply web1 1";
const std::string persistent = "persistent:\n  - topic: mcollective reply * *\n";
const auto away = FakeNats::error(10008, "JetStream system temporarily unavailable");

bool is_ready(Bench& bench) { return bench.queues().describe().at(0).at("state") == "up"; }
std::uint64_t lost(Bench& bench) { return bench.queues().describe().back().at("lost").to_number<std::uint64_t>(); }

std::vector<std::string> bodies(const FakeNats& server) {
  std::vector<std::string> all;
  for (const auto& payload : server.seen().stored) {
    const auto envelope = unseal(payload);
    all.push_back(envelope ? envelope->frames->back() : "not ours: " + envelope.error().message);
  }
  return all;
}

}  // namespace

TEST_CASE("a message that was promised is stored in the end, whatever the servers answer until then") {
  Directory directory;
  FakeNats server;
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  // Into the journal by the first answer; the others are for its way out of it.
  server.answer_with({away, FakeNats::error(10158, "duplicate message id is in process"), FakeNats::error(10023, "insufficient resources"),
                      "no JSON", "{\"stream\":\"s\",\"seq\":0,\"duplicate\":true}",
                      FakeNats::error(19999, "what no release has said yet")});
  bench.put(reply, "m0");
  REQUIRE(within(10s, {&bench}, [&] { return bench.results.contains("m0"); }));
  CHECK(bench.results["m0"] == "ok");
  bench.put(reply, "m1");
  REQUIRE(within(20s, {&bench}, [&] { return server.seen().stored.size() >= 2; }));
  CHECK(bodies(server) == std::vector<std::string>{"m0", "m1"});
  CHECK(lost(bench) == 0);
}

TEST_CASE("a message whose store was answered with nothing that says how it went is not told refused") {
  Directory directory;
  FakeNats server;
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  server.answer_with({"{\"stream\":\"s\",\"seq\":0,\"duplicate\":true}"});
  bench.put(reply, "m0");
  REQUIRE(within(10s, {&bench}, [&] { return server.seen().stored.size() == 1 && bench.results.contains("m0"); }));
  CHECK(bench.results["m0"] == "ok");
}

TEST_CASE("a message of the journal that a stream will never take is told, counted, and gives way to the next") {
  Directory directory;
  FakeNats server;
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  server.answer_with({away, FakeNats::error(10054, "message size exceeds maximum allowed")});
  bench.put(reply, "m0");
  bench.put(reply, "m1");
  REQUIRE(within(10s, {&bench}, [&] { return server.seen().stored.size() == 1; }));
  CHECK(bodies(server) == std::vector<std::string>{"m1"});
  CHECK(lost(bench) == 1);
}

TEST_CASE("a message that fits only without its header is refused, and no connection is lost on any size") {
  Directory directory;
  FakeNats server(1024);
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  std::size_t count = 0;
  for (std::size_t size = 800; size <= 1024; ++size, ++count) bench.put(reply, std::string(size, 'x'));
  REQUIRE(within(10s, {&bench}, [&] { return bench.results.size() == count; }));
  CHECK(bench.results[std::string(800, 'x')] == "ok");
  CHECK(bench.results[std::string(1024, 'x')].find("max_payload of the NATS servers is 1024") != std::string::npos);
  CHECK(server.seen().violations == 0);
  CHECK(server.seen().connects == 1);
}

TEST_CASE("what the journal has had since before there was a backbone does not stop it by its size") {
  Directory directory;
  const std::string large(2000, 'x'), nearly(900, 'y');
  {
    Bench bench(directory.file("history.sdb"), persistent);
    for (const auto& body : {large, nearly, std::string("small")}) bench.put(reply, body);
    REQUIRE(within(10s, {&bench}, [&] { return bench.results.size() == 3; }));
  }
  FakeNats server(1024);
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return !bodies(server).empty() && bodies(server).back() == "small"; }));
  CHECK(lost(bench) + server.seen().stored.size() == 3);
  CHECK(lost(bench) >= 1);
  CHECK(server.seen().violations == 0);
}

TEST_CASE("what waits for the servers' word at a stop is stored after the next start, in order") {
  Directory directory;
  FakeNats server;
  {
    Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
    REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
    server.answer_with({""});
    for (const auto& body : numbered("m", 0, 20)) bench.put(reply, body);
    REQUIRE(within(10s, {&bench}, [&] { return server.seen().asked == 1; }));
    bench.stop();
    CHECK(lost(bench) == 0);
  }
  CHECK(server.seen().stored.empty());
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  CHECK(within(10s, {&bench}, [&] { return server.seen().stored.size() == 20; }));
  CHECK(bodies(server) == numbered("m", 0, 20));
}

TEST_CASE("what finds no room in the journal at a stop is counted") {
  Directory directory;
  FakeNats server;
  Bench bench(directory.file("history.sdb"), server.yaml() + "persistent:\n  - {topic: \"mcollective reply * *\", messages_max: 3}\n");
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  server.answer_with({""});
  for (const auto& body : numbered("m", 0, 5)) bench.put(reply, body);
  REQUIRE(within(10s, {&bench}, [&] { return server.seen().asked == 1; }));
  bench.stop();
  CHECK(lost(bench) == 2);
}

TEST_CASE("of a journal full of large messages few megabytes are read at once when the servers are back, and all are stored in the end") {
  Directory directory;
  constexpr std::size_t large = 900'000, topics = 40;
  const auto topic = [](std::size_t number) { return "mcollective reply web1 " + std::to_string(number); };
  {
    Bench bench(directory.file("history.sdb"), persistent);
    for (std::size_t i = 0; i < topics; ++i)
      for (const auto* part : {"a", "b"}) bench.put(topic(i), part + std::to_string(i) + std::string(large / 2, 'x'));
    REQUIRE(within(30s, {&bench}, [&] { return bench.results.size() == 2 * topics; }));
  }
  FakeNats server;
  // They say nothing, and then that they are full.
  server.answer_with(std::vector<std::string>(20, ""));
  server.answer_with(std::vector<std::string>(5, FakeNats::error(10077, "maximum messages per subject exceeded")));
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return server.seen().asked >= 10; }));
  // Until no more come: after 3 s without an answer the first are asked again.
  for (std::size_t before = 0; before != server.seen().asked; bench.run_for(200ms)) before = server.seen().asked;
  // Of the last topic there may be room for a part only.
  CHECK((server.seen().asked - 1) * large <= OfferBudget::of_identity_max);
  REQUIRE(within(60s, {&bench}, [&] { return server.seen().stored.size() == 2 * topics; }));
  CHECK(lost(bench) == 0);
  std::map<std::string, char> of_each;
  for (const auto& body : bodies(server)) {
    const auto number = body.substr(1, body.find('x') - 1);
    CHECK(body[0] == (of_each.contains(number) ? 'b' : 'a'));
    of_each[number] = body[0];
  }
  CHECK(of_each.size() == topics);
}

TEST_CASE("what the journal has of topics that no entry matches any more stays there, and is named and not sent") {
  Directory directory;
  {
    Bench bench(directory.file("history.sdb"), "persistent:\n  - topic: other *\n");
    bench.put("other x", "m0");
    REQUIRE(within(10s, {&bench}, [&] { return bench.results.size() == 1; }));
  }
  FakeNats server;
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  bench.put(reply, "m1");
  REQUIRE(within(10s, {&bench}, [&] { return bench.results.size() == 1; }));
  bench.run_for(200ms);
  CHECK(bodies(server) == std::vector<std::string>{"m1"});
  const auto queue = bench.queues().describe().at(1);
  CHECK(queue.at("topic") == "other x");
  CHECK(queue.at("state") == "no entry of persistent matches");
}

TEST_CASE("what is too old is dropped from the journal beside a backbone without any kept topic, too") {
  Directory directory;
  {
    Bench bench(directory.file("history.sdb"), "persistent: []\n");
    bool is_kept = false;
    const Envelope old{1, {}, message("old")};
    bench.agent().journal().keep("mcollective.queue", "other.x 0000000000000001", seal(old),
                                 [&](Result<void> kept) { is_kept = kept.has_value(); });
    REQUIRE(within(10s, {&bench}, [&] { return is_kept; }));
  }
  FakeNats server;
  Bench bench(directory.file("history.sdb"), server.yaml());
  CHECK(within(5s, {&bench}, [&] { return bench.queues().describe().size() == 1; }));
}

TEST_CASE("sessions are told to other brokers in messages that servers with a small max_payload take") {
  Directory directory;
  FakeNats server(1024);
  Bench bench(directory.file("history.sdb"), server.yaml() + persistent);
  for (int i = 0; i < 50; ++i) bench.sessions.push_back({"web" + std::to_string(i) + std::string(200, 'x'), std::string(40, 'k'), {}});
  REQUIRE(within(10s, {&bench}, [&] { return is_ready(bench); }));
  const auto described = bench.backbone().describe();
  CHECK(described.at("dropped").at("not_sent") == 0);
  CHECK(described.at("last_error") == "");
  CHECK(described.at("out").to_number<int>() > 50 / 4);
}
