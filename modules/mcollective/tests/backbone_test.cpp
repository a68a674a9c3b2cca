// Brokers joined by a real cluster of three nats-servers.
#include <boost/asio/ip/tcp.hpp>

#include <set>

#include "nats_cluster.hpp"
#include "offer_budget.hpp"
#include "queue_bench.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

const std::string reply = "mcollective reply web1 1";
const std::string persistent = "persistent:\n  - {topic: \"mcollective reply * *\", messages_max: 1000}\n";
constexpr auto long_enough = 30s;

NatsCluster& cluster() {
  static NatsCluster the_cluster(3);
  return the_cluster;
}

struct Fixture {
  Fixture() { cluster().tell("start"); }
  ~Fixture() {
    if (std::uncaught_exceptions() > 0) cluster().keep();
  }
  /// A broker; each test has a network of its own.
  std::unique_ptr<Bench> open(const std::string& name, const std::string& more = persistent) {
    return std::make_unique<Bench>(directory.file(name + ".sdb"), cluster().yaml(prefix) + more);
  }
  std::unique_ptr<Bench> open_up(const std::string& name, const std::string& more = persistent) {
    auto bench = open(name, more);
    REQUIRE(within(long_enough, {bench.get()}, [&] { return bench->is_up(); }));
    return bench;
  }
  static int drawn;
  const std::string prefix = "p" + std::to_string(++drawn);
  const std::string stream = prefix + "_mcollective_reply_=2A_=2A";
  Directory directory;
};
int Fixture::drawn = 0;

bool is_ready(Bench& bench) { return bench.queues().describe().at(0).at("state") == "up"; }

}  // namespace

TEST_CASE_METHOD(Fixture, "what is published at one broker reaches the others that want the topic, once, and never itself") {
  auto a = open_up("a"), b = open_up("b"), c = open_up("c");
  a->backbone().want("mcollective x.y *");
  b->backbone().want("mcollective x.y *");
  c->backbone().want("mcollective other");
  REQUIRE(within(long_enough, {a.get(), b.get(), c.get()}, [&] {
    a->backbone().publish("mcollective x.y *", message("probe"));
    return b->heard.contains("mcollective x.y *");
  }));
  b->run_for(100ms);
  b->heard.clear();
  const std::string bytes("\0\xff body", 7);
  CHECK(a->backbone().publish("mcollective x.y *", message(bytes)).has_value());
  CHECK(a->backbone().publish("mcollective x.y *", message("second")).has_value());
  REQUIRE(within(long_enough, {a.get(), b.get(), c.get()}, [&] { return b->heard["mcollective x.y *"].size() >= 2; }));
  for (auto* bench : {a.get(), b.get(), c.get()}) bench->run_for(100ms);
  CHECK(b->heard["mcollective x.y *"] == std::vector<std::string>{bytes, "second"});
  CHECK(a->heard.empty());
  CHECK(c->heard.empty());
  b->backbone().unwant("mcollective x.y *");
  b->run_for(200ms);
  a->backbone().publish("mcollective x.y *", message("nobody"));
  a->run_for(100ms);
  b->run_for(200ms);
  CHECK(b->heard["mcollective x.y *"].size() == 2);
}

TEST_CASE_METHOD(Fixture, "a message larger than the servers take is refused and counted, and the connection holds") {
  auto a = open_up("a");
  const std::string large(2 << 20, 'x');
  const auto refused = a->backbone().publish("t", message(large));
  REQUIRE(refused.has_error());
  CHECK(refused.error().message.find("max_payload of the NATS servers is 1048576") != std::string::npos);
  CHECK(a->backbone().describe().at("dropped").at("too_large") == 1);
  a->put(reply, large);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 1; }));
  CHECK(a->results[large].find("max_payload of the NATS servers is 1048576") != std::string::npos);
  CHECK(a->is_up());
  CHECK(a->backbone().publish("t", message("small")).has_value());
}

TEST_CASE("a stop while a server is tried that answers nothing holds up nothing else") {
  asio::io_context servers;
  asio::ip::tcp::acceptor mute(servers, {asio::ip::address_v4::loopback(), 0});  // its kernel takes the connection
  Directory directory;
  const auto url = "nats://127.0.0.1:" + std::to_string(mute.local_endpoint().port());
  Bench bench(directory.file("a.sdb"), "backbone: [\"" + url + "\"]\n" + persistent);
  bench.run_for(300ms);  // it is being tried now, for two seconds
  std::chrono::steady_clock::duration longest{};
  auto last = std::chrono::steady_clock::now();
  asio::steady_timer tick(bench.agent().loop());
  std::function<void()> look = [&] {
    const auto now = std::chrono::steady_clock::now();
    longest = std::max(longest, now - last);
    last = now;
    tick.expires_after(10ms);
    tick.async_wait([&](const boost::system::error_code& error) {
      if (!error) look();
    });
  };
  look();
  auto stop = [&]() -> asio::awaitable<bool> {
    co_await bench.backbone().stop();
    co_return true;
  };
  const auto began = std::chrono::steady_clock::now();
  bench.agent().wait_for(stop());
  CHECK(std::chrono::steady_clock::now() - began > 500ms);  // there was something to wait for
  look();
  tick.cancel();
  CHECK(longest < 500ms);
  CHECK_FALSE(bench.backbone().publish("t", message("late")).has_value());
}

TEST_CASE_METHOD(Fixture, "a queue can be put at one broker and taken at another, in order, and is empty then") {
  auto a = open_up("a"), b = open_up("b");
  const auto all = numbered("m", 0, 300);
  for (const auto& body : all) a->put(reply, body);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 300; }));
  CHECK(a->results["m299"] == "ok");
  REQUIRE(b->queues().attach(reply, "web1"));
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->offers[reply].size() >= 300; }));
  a->put(reply, "m300");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->offers[reply].size() >= 301; }));
  CHECK(b->offers[reply] == numbered("m", 0, 301));
  CHECK(within(long_enough, {a.get(), b.get()}, [&] { return cluster().messages(stream) == 0; }));
  CHECK(b->queues().describe().at(0).at("taken") == 301);
  CHECK(b->queues().describe().at(1).at("taken") == 301);
  CHECK(a->queues().describe().at(0).at("taken") == 0);
}

TEST_CASE_METHOD(Fixture, "of large messages in a stream only few megabytes are offered and not taken, and all come in the end") {
  auto a = open_up("a");
  a->takes = false;
  constexpr std::size_t large = 700'000, count = 12;
  for (const auto& name : numbered("m", 0, count)) a->put(reply, name + std::string(large, 'x'));
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == count; }));
  REQUIRE(a->queues().attach(reply, "web1"));
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() >= 4; }));
  a->run_for(500ms);
  CHECK(a->offers[reply].size() * large <= OfferBudget::of_queue_max);
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() > i; }));
    CHECK((a->offers[reply].size() - i) * large <= OfferBudget::of_queue_max);
    a->take(reply, i);
  }
}

TEST_CASE_METHOD(Fixture, "what the owner's broker took with it when it ended is offered first at another one") {
  auto a = open_up("a"), b = open_up("b");
  b->takes = false;
  REQUIRE(b->queues().attach(reply, "web1"));
  for (const auto& body : numbered("m", 0, 10)) a->put(reply, body);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->offers[reply].size() == 10; }));
  b->take(reply, 0);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return cluster().messages(stream) == 9; }));
  b.reset();
  a->put(reply, "m10");
  REQUIRE(a->queues().attach(reply, "web1"));
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() >= 10; }));
  CHECK(a->offers[reply] == numbered("m", 1, 11));
}

TEST_CASE_METHOD(Fixture, "a queue has one owner among all brokers, and the last broker of an identity has it") {
  auto a = open_up("a"), b = open_up("b");
  REQUIRE(a->queues().attach(reply, "web1"));
  a->put(reply, "m0");
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() == 1; }));
  b->queues().attach(reply, "web2");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return !b->refused_owners.empty(); }));
  CHECK(b->refused_owners == std::vector<std::string>{reply + ": web2"});
  CHECK(a->refused_owners.empty());

  // The same identity subscribes at the other broker: it goes on there, and here no more.
  b->queues().attach(reply, "web1");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return !a->refused_owners.empty(); }));
  a->put(reply, "m1");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return !b->offers[reply].empty(); }));
  CHECK(b->offers[reply] == std::vector<std::string>{"m1"});
  CHECK(a->offers[reply] == std::vector<std::string>{"m0"});
  CHECK(b->freed.empty());
  CHECK(a->freed.empty());

  b->queues().disown(reply, "web1");
  const auto is_free = [&] { return cluster().messages(prefix + "-owners") == 0; };
  REQUIRE(within(long_enough, {a.get(), b.get()}, is_free));
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return !a->freed.empty(); }));
  a->refused_owners.clear();
  a->queues().attach(reply, "web2");
  a->put(reply, "m2");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return a->offers[reply].size() == 2; }));
  CHECK(a->refused_owners.empty());
}

TEST_CASE_METHOD(Fixture, "who was refused a queue hears that its owner at another broker has been away for too long") {
  const std::string brief = "persistent:\n  - {topic: \"mcollective reply * *\", age_max_s: 6}\n";
  auto a = open_up("a", brief), b = open_up("b", brief);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return is_ready(*a) && is_ready(*b); }));
  const std::string other = "mcollective reply web1 2";
  for (const auto& topic : {reply, other}) REQUIRE(a->queues().attach(topic, "web1", {}));
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return cluster().messages(prefix + "-owners") == 2; }));
  for (const auto& topic : {reply, other}) b->queues().attach(topic, "web2", {});
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->refused_owners.size() == 2; }));
  CHECK(b->freed.empty());
  b->queues().nobody_here(other);
  a.reset();
  REQUIRE(within(long_enough, {b.get()}, [&] { return !b->freed.empty(); }));
  b->run_for(1500ms);
  CHECK(std::set<std::string>(b->freed.begin(), b->freed.end()) == std::set{reply});
  b->queues().attach(reply, "web2", {});
  b->put(reply, "m1");
  CHECK(within(long_enough, {b.get()}, [&] { return b->offers[reply].size() == 1; }));
}

TEST_CASE_METHOD(Fixture,
                 "a queue belongs to an identity under one key, at whichever broker it comes, until somebody decides for another") {
  auto a = open_up("a"), b = open_up("b");
  const IdentityKey owner{"owner", false}, stranger{"stranger", false}, decided{"stranger", true};
  const auto has_one_owner = [&] { return cluster().messages(prefix + "-owners") == 1; };
  REQUIRE(a->queues().attach(reply, "web1", owner));
  a->put(reply, "m0");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return a->offers[reply].size() == 1; }));

  b->queues().attach(reply, "web1", stranger);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return !b->refused_owners.empty(); }));
  CHECK(b->refused_owners == std::vector<std::string>{reply + ": web1"});
  CHECK(b->rightful_owners == std::vector<std::string>{""});
  // Nor can it give away what it was never told that it has not got, with the owner away.
  a->queues().detach(reply, "web1");
  b->queues().attach(reply, "web1", stranger);
  b->queues().disown(reply, "web1");
  a->put(reply, "m1");
  b->run_for(500ms);
  a->run_for(200ms);
  CHECK(within(long_enough, {a.get(), b.get()}, has_one_owner));
  CHECK(b->offers[reply].empty());
  CHECK(a->refused_owners.empty());

  // The owner moves, and one whose key was decided for comes after it.
  b->queues().attach(reply, "web1", owner);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->offers[reply].size() == 1; }));
  CHECK(b->offers[reply] == std::vector<std::string>{"m1"});
  a->queues().attach(reply, "web1", decided);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->refused_owners.size() == 2; }));
  a->put(reply, "m2");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return a->offers[reply].size() == 2; }));
  b->queues().attach(reply, "web1", owner);
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->refused_owners.size() == 3; }));
  CHECK(b->rightful_owners == std::vector<std::string>{"", "web1", ""});
}

TEST_CASE_METHOD(Fixture, "a full stream refuses, and takes again when there is room") {
  const std::string small = "persistent:\n  - {topic: \"mcollective reply * *\", messages_max: 3}\n";
  auto a = open_up("a", small);
  REQUIRE(within(long_enough, {a.get()}, [&] { return is_ready(*a); }));
  for (const auto& body : numbered("m", 0, 4)) a->put(reply, body);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 4; }));
  CHECK(a->results["m2"] == "ok");
  CHECK(a->results["m3"] ==
        "the queue of topic \"mcollective reply web1 1\" is full: maximum messages per subject exceeded; "
        "messages_max of \"mcollective reply * *\" is 3, bytes_max 268435456");
  a->queues().attach(reply, "web1");
  REQUIRE(within(long_enough, {a.get()}, [&] { return cluster().messages(stream) == 0; }));
  a->put(reply, "again");
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() == 4; }));
  CHECK(a->results["again"] == "ok");
}

TEST_CASE_METHOD(Fixture, "a stream that holds bytes_max refuses, whatever the topic, and takes again when there is room") {
  auto a = open_up("a", "persistent:\n  - {topic: \"mcollective reply * *\", bytes_max: 65536}\n");
  REQUIRE(within(long_enough, {a.get()}, [&] { return is_ready(*a); }));
  const std::string large(20'000, 'x'), other = "mcollective reply web2 1";
  for (const auto& name : numbered("m", 0, 3)) a->put(reply, name + large);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 3; }));
  for (const auto& name : numbered("m", 0, 3)) CHECK(a->results[name + large] == "ok");
  a->put(other, "m3" + large);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 4; }));
  CHECK(a->results["m3" + large] ==
        "the queue of topic \"mcollective reply web2 1\" is full: maximum bytes exceeded; "
        "messages_max of \"mcollective reply * *\" is 10000, bytes_max 65536");
  CHECK(cluster().messages(stream) == 3);
  a->queues().attach(reply, "web1");
  REQUIRE(within(long_enough, {a.get()}, [&] { return cluster().messages(stream) == 0; }));
  a->put(other, "again" + large);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 5; }));
  CHECK(a->results["again" + large] == "ok");
}

TEST_CASE_METHOD(Fixture, "what lies in a stream for longer than age_max_s is gone, and what is younger is taken") {
  auto a = open_up("a", "persistent:\n  - {topic: \"mcollective reply * *\", age_max_s: 8}\n");
  REQUIRE(within(long_enough, {a.get()}, [&] { return is_ready(*a); }));
  const auto began = std::chrono::steady_clock::now();
  for (const auto& body : numbered("old", 0, 3)) a->put(reply, body);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 3; }));
  CHECK(a->results["old2"] == "ok");
  CHECK(cluster().messages(stream) == 3);
  REQUIRE(within(long_enough, {a.get()}, [&] { return cluster().messages(stream) == 0; }));
  CHECK(std::chrono::steady_clock::now() - began >= 8s);
  a->put(reply, "young");
  a->queues().attach(reply, "web1");
  REQUIRE(within(long_enough, {a.get()}, [&] { return !a->offers[reply].empty(); }));
  CHECK(a->offers[reply] == std::vector<std::string>{"young"});
}

TEST_CASE_METHOD(Fixture, "while the backbone is away messages wait in the journal, outlive the broker and come before newer ones") {
  {
    auto a = open_up("a");
    for (const auto& body : numbered("m", 0, 5)) a->put(reply, body);
    REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 5; }));
    cluster().tell("stop");
    REQUIRE(within(long_enough, {a.get()}, [&] { return !a->is_up(); }));
    CHECK_FALSE(a->backbone().publish("t", message("x")).has_value());
    for (const auto& body : numbered("m", 5, 105)) a->put(reply, body);
    REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 105; }));
    CHECK(a->results["m104"] == "ok");
  }
  auto a = open("a"), b = open("b");
  a->put(reply, "m105");
  b->queues().attach(reply, "web1");
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->results.size() == 1; }));
  cluster().tell("start");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return a->is_up(); }));
  a->put(reply, "m106");
  REQUIRE(within(long_enough, {a.get(), b.get()}, [&] { return b->offers[reply].size() >= 107; }));
  a->run_for(200ms);
  b->run_for(200ms);
  CHECK(b->offers[reply] == numbered("m", 0, 107));
}

TEST_CASE_METHOD(Fixture, "a server that is killed and comes back costs no message of a queue, nor its order") {
  auto a = open_up("a"), b = open_up("b");
  b->queues().attach(reply, "web1");
  const std::vector<Bench*> both{a.get(), b.get()};
  int sent = 0;
  for (int place = 0; place < 3; ++place) {
    for (int i = 0; i < 60; ++i) {
      a->put(reply, "m" + std::to_string(sent++));
      if (i == 20) cluster().tell("kill " + std::to_string(place));
      for (auto* bench : both) bench->run_for(2ms);
    }
    REQUIRE(within(long_enough, both, [&] { return a->results.size() == static_cast<std::size_t>(sent); }));
    cluster().tell("start " + std::to_string(place));
  }
  std::vector<std::string> accepted;
  for (const auto& body : numbered("m", 0, sent))
    if (a->results[body] == "ok") accepted.push_back(body);
  CHECK(accepted.size() == static_cast<std::size_t>(sent));
  std::vector<std::string> first_times;
  const auto all_are_there = [&] {
    first_times.clear();
    std::set<std::string> seen;
    for (const auto& body : b->offers[reply])
      if (seen.insert(body).second) first_times.push_back(body);
    return first_times.size() >= accepted.size();
  };
  REQUIRE(within(long_enough, both, all_are_there));
  CHECK(first_times == accepted);
  CHECK(b->offers[reply].size() <= accepted.size() + 60);  // repeated, at the most what was under way
}

TEST_CASE_METHOD(Fixture, "a queue that its owner gives up goes to who asks for it in the same moment") {
  auto a = open_up("a");
  REQUIRE(within(long_enough, {a.get()}, [&] { return is_ready(*a); }));
  REQUIRE(a->queues().attach(reply, "web1"));
  a->put(reply, "first");
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() == 1; }));
  a->queues().disown(reply, "web1");
  REQUIRE(a->queues().attach(reply, "web2"));
  a->put(reply, "second");
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() == 2 || !a->refused_owners.empty(); }));
  CHECK(a->refused_owners.empty());
  CHECK(a->offers[reply].back() == "second");
}

TEST_CASE_METHOD(Fixture, "a topic too long for a subject is given to nobody, and the connection holds") {
  auto a = open_up("a");
  REQUIRE(within(long_enough, {a.get()}, [&] { return is_ready(*a); }));
  const auto topic = "mcollective reply web1 " + std::string(5000, 'x');
  CHECK_FALSE(a->queues().attach(topic, "web1", {}));
  a->queues().disown(topic, "web1");
  a->queues().nobody_here(topic);
  a->put(topic, "m");
  a->run_for(2s);
  CHECK(a->results["m"].find("too long to be kept") != std::string::npos);
  CHECK(a->is_up());
  CHECK(a->backbone().describe().at("reconnects") == 0);
}

TEST_CASE(
    "a stream that is lost with its server's disk is made anew and read from its beginning, and a late word of what it held harms "
    "nothing") {
  NatsCluster server(1);
  Directory directory;
  Bench a(directory.file("a.sdb"), server.yaml("lost") + "backbone_replicas: 1\n" + persistent);
  const std::string stream = "lost_mcollective_reply_=2A_=2A";
  REQUIRE(within(long_enough, {&a}, [&] { return is_ready(a); }));
  a.takes = false;
  REQUIRE(a.queues().attach(reply, "web1"));
  for (const auto& body : numbered("m", 0, 15)) a.put(reply, body);
  REQUIRE(within(long_enough, {&a}, [&] { return a.offers[reply].size() == 15; }));
  for (std::size_t i = 0; i < 10; ++i) a.take(reply, i);
  REQUIRE(within(long_enough, {&a}, [&] { return server.messages(stream) == 5; }));
  server.tell("stop");
  server.tell("wipe 0");
  REQUIRE(within(long_enough, {&a}, [&] { return !a.is_up(); }));
  server.tell("start");
  REQUIRE(within(long_enough, {&a}, [&] { return a.is_up() && server.messages(stream) == 0; }));
  for (const auto& body : numbered("n", 0, 20)) a.put(reply, body);
  REQUIRE(within(long_enough, {&a}, [&] { return a.results.size() == 35; }));
  for (std::size_t i = 10; i < 15; ++i) a.take(reply, i);
  REQUIRE(within(long_enough, {&a}, [&] { return a.offers[reply].size() == 35; }));
  CHECK(std::vector<std::string>(a.offers[reply].begin() + 15, a.offers[reply].end()) == numbered("n", 0, 20));
  a.run_for(1500ms);  // what was not deleted would be again after a second
  CHECK(server.messages(stream) == 20);
  for (std::size_t i = 15; i < 35; ++i) a.take(reply, i);
  CHECK(within(long_enough, {&a}, [&] { return server.messages(stream) == 0; }));
}

TEST_CASE_METHOD(Fixture, "a stream that somebody deletes while it is used is made anew and goes on") {
  auto a = open_up("a");
  REQUIRE(within(long_enough, {a.get()}, [&] { return is_ready(*a); }));
  REQUIRE(a->queues().attach(reply, "web1"));
  for (const auto& body : numbered("m", 0, 10)) a->put(reply, body);
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() == 10; }));
  cluster().tell("ask $JS.API.STREAM.DELETE." + stream);
  a->put(reply, "n0");
  REQUIRE(within(long_enough, {a.get()}, [&] { return a->offers[reply].size() == 11; }));
  CHECK(a->offers[reply].back() == "n0");
  CHECK(a->results["n0"] == "ok");
}
