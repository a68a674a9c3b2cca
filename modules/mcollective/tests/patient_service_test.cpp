// A broker whose journal cannot be read at first.
#include <catch2/catch.hpp>

#include <boost/asio/detached.hpp>

#include <ctime>
#include <fstream>

#include "authority.hpp"
#include "broker_options.hpp"
#include "patient_service.hpp"
#include "queue_bench.hpp"
#include "session_record.hpp"
#include "status.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace gorgone::mcollective::test;
using namespace std::chrono_literals;

namespace {

/// One collection cannot be read for a while.
class IllJournal final : public gorgone::test::RecordingJournal {
 public:
  std::string ill;
  int attempts = 0;

  void kept(std::string collection, std::function<void(Result<Kept>)> done, KeptRange range) override {
    if (collection != ill) return RecordingJournal::kept(std::move(collection), std::move(done), std::move(range));
    ++attempts;
    done(Error{"the disk does not answer"});
  }
};

class IllAgent final : public gorgone::test::LoopAgent {
 public:
  IllJournal& journal() override { return ill_; }

 private:
  IllJournal ill_;
};

Settings settings_of(const std::string& yaml) {
  Directory directory;
  const auto file = directory.file("options.yaml");
  std::ofstream(file) << yaml;
  std::vector<Problem> problems;
  auto values = std::make_shared<const ConfigValue>(*load_yaml(file, problems));
  auto schema = broker_schema();
  for (auto part : {access_schema(), kept_schema(), backbone_schema()})
    for (auto& option : part) schema.push_back(std::move(option));
  auto shared = std::make_shared<const Schema>(std::move(schema));
  for (const auto& problem : check(*values, *shared, "test")) FAIL(problem.message);
  return Settings(shared, values);
}

std::string options_in(const Directory& directory) {
  REQUIRE(make_authority_files(directory.file("ca")).has_value());
  return "bind: \"tcp://127.0.0.1:0\"\nprivate_key: " + directory.file("private") + "\npublic_key: " + directory.file("public") +
         "\nclients: first\ncertificate_authority: " + directory.file("ca/ca.public") +
         "\npersistent:\n  - topic: \"mcollective reply * *\"\n";
}

bool ends_within(IllAgent& agent, std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!condition() && std::chrono::steady_clock::now() < until) agent.run_for(5ms);
  return condition();
}

bool start(IllAgent& agent, PatientService& service) {
  std::optional<bool> outcome;
  auto begin = [&]() -> asio::awaitable<void> {
    const auto started = co_await service.start();
    outcome = started.has_value();
  };
  asio::co_spawn(agent.loop(), begin(), asio::detached);
  return ends_within(agent, 10s, [&] { return outcome.has_value(); }) && *outcome;
}

bool end(IllAgent& agent, PatientService& service) {
  bool has_ended = false;
  auto stop = [&]() -> asio::awaitable<void> {
    co_await service.stop();
    has_ended = true;
  };
  asio::co_spawn(agent.loop(), stop(), asio::detached);
  return ends_within(agent, 10s, [&] { return has_ended; });
}

}  // namespace

TEST_CASE("a broker waits for a journal that cannot be read, and then has what lay there") {
  const std::string collection = GENERATE(as<std::string>{}, "mcollective.session", "mcollective.session_topics", "mcollective.owner",
                                          "mcollective.queue", "mcollective.pin", "mcollective.revocations");
  INFO(collection);
  Directory directory;
  IllAgent agent;
  const std::string key(40, 'k');
  agent.journal().records["mcollective.pin"]["web1"] = key;
  SessionRecord session{key, "0.2", 30000, 0, {}, {"mcollective rpcutil"}};
  agent.journal().records["mcollective.session"]["web1 1"] = write_session(session);
  agent.journal().records["mcollective.owner"]["mcollective.reply.web1.1"] = std::to_string(std::time(nullptr)) + " web1";
  const auto session_before = agent.journal().records["mcollective.session"];
  agent.journal().ill = collection;
  PatientService service(agent, settings_of(options_in(directory)));
  REQUIRE(start(agent, service));
  CHECK(service.running() == nullptr);
  CHECK(service.why_not().find("the disk does not answer") != std::string::npos);
  REQUIRE(ends_within(agent, 10s, [&] { return agent.journal().attempts >= 2; }));
  CHECK(service.running() == nullptr);
  CHECK(agent.journal().records["mcollective.session"] == session_before);
  agent.journal().ill.clear();
  REQUIRE(ends_within(agent, 10s, [&] { return service.running() != nullptr; }));
  CHECK(service.running()->broker()->clients().sessions() == 1);
  CHECK(agent.journal().records["mcollective.owner"]["mcollective.reply.web1.1"].ends_with(" web1"));
  CHECK_FALSE(service.running()->access()->grant(std::string(40, 'x'), "web1 2").has_value());
  REQUIRE(end(agent, service));
  CHECK(service.running() == nullptr);
}

TEST_CASE("a broker that waits for its journal can be stopped, and one that cannot run at all says so at once") {
  Directory directory;
  IllAgent agent;
  agent.journal().ill = "mcollective.session";
  PatientService service(agent, settings_of(options_in(directory)));
  REQUIRE(start(agent, service));
  REQUIRE(end(agent, service));
  const auto attempts = agent.journal().attempts;
  agent.run_for(1500ms);
  CHECK(agent.journal().attempts == attempts);

  IllAgent other;
  PatientService wrong(other, settings_of("bind: \"tcp://203.0.113.1:1\"\ncurve: false\n"));
  CHECK_FALSE(start(other, wrong));
  CHECK(other.running() == 0);
}

TEST_CASE("long lists are told in parts of which none is large, and short ones in one") {
  json::array rows;
  for (std::size_t i = 0; i < 2 * portion_max + 1; ++i) rows.emplace_back(i);
  const auto parts = in_parts(rows);
  REQUIRE(parts.size() == 3);
  CHECK(parts[1].size() == portion_max);
  CHECK(parts[2].at(0) == json::value(2 * portion_max));
  CHECK(in_parts(json::array()).size() == 1);

  json::object lists{{"clients", "first"}};
  lists["few"] = json::array{1, 2};
  lists["pins"] = rows;
  lists["none"] = json::array();
  const auto cut = in_parts(lists);
  REQUIRE(cut.size() == 3);
  json::object joined;
  for (const auto& part : cut) {
    std::size_t count = 0;
    for (const auto& [name, value] : part) {
      if (!value.is_array()) continue;
      count += value.get_array().size();
      if (!joined.contains(name)) joined[name] = json::array();
      for (const auto& row : value.get_array()) joined[name].get_array().push_back(row);
    }
    CHECK(count <= portion_max);
  }
  CHECK(cut[0].at("clients") == "first");
  joined["clients"] = "first";
  CHECK(joined == lists);
}
