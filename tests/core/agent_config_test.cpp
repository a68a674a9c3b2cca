#include <catch2/catch.hpp>
#include <core/config/agent_config.hpp>
#include <core/config/core_schema.hpp>
#include <core/config/deployed_modules.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

using namespace gorgone;

namespace {

namespace fs = std::filesystem;

// A configuration in a file of its own.
struct Loaded {
  std::vector<Problem> problems;
  std::unique_ptr<Result<AgentConfig>> result;

  explicit Loaded(const std::string& yaml) {
    std::string name = (fs::temp_directory_path() / "gorgone_agent_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    const std::string file = name + "/config.yaml";
    std::ofstream(file) << yaml;
    result = std::make_unique<Result<AgentConfig>>(load_agent_config(file, problems));
    fs::remove_all(name);
  }

  const AgentConfig& config() const {
    REQUIRE(result->has_value());
    return **result;
  }
  std::string messages() const {
    std::string out;
    for (const Problem& problem : problems) out += problem.message + "\n";
    return out;
  }
  bool tells(const std::string& text) const { return messages().find(text) != std::string::npos; }
};

const char* const poller = R"(
name: config.yaml
description: a poller as Centreon writes it
configuration:
  name: poller
  centreon:
    database: {db_realtime: {dsn: "mysql:host=localhost"}}
  gorgone:
    gorgonecore:
      id: 2
      external_com_type: tcp
      external_com_path: "*:5556"
      authorized_clients:
        - key: TZm2jqpLRWWi3UGIP5C8T5b2Wr0kZ3-DhO2Hj7MxCkA
      privkey: "/var/lib/centreon-gorgone/.keys/rsakey.priv.pem"
      gorgone_db_name: dbname=/tmp/history.sdb
      internal_com_type: ipc
      internal_com_crypt: 1
    modules:
      - name: action
        package: gorgone::modules::core::action::hooks
        enable: true
        command_timeout: 30
      - name: httpserver
        package: "gorgone::modules::core::httpserverng::hooks"
        enable: false
    tpapi:
      - name: clapi
        username: admin
)";

std::string with_modules(const std::string& list) { return "configuration:\n  gorgone:\n    modules: " + list + "\n"; }

}  // namespace

TEST_CASE("the configuration of a deployed poller is taken without a word") {
  const Loaded loaded(poller);
  CHECK(loaded.messages() == "");
  const AgentConfig& config = loaded.config();
  CHECK(config.core.text("id") == "2");
  CHECK(config.core.text("external_com_path") == "*:5556");
  CHECK(config.core.items("authorized_clients").at(0).text("key").size() == 43);
  CHECK(config.core.integer("timeout") == 50);
  CHECK(database_path(config.core) == "/tmp/history.sdb");
  REQUIRE(config.modules.size() == 2);
  CHECK(config.modules[0].library == "action");
  CHECK(config.modules[0].enabled);
  CHECK(config.modules[0].values.find("command_timeout")->scalar == "30");
  CHECK(config.modules[1].library == "httpserver");
  CHECK_FALSE(config.modules[1].enabled);
  REQUIRE(config.gorgone() != nullptr);
  CHECK(config.gorgone()->find("tpapi")->list.size() == 1);
  REQUIRE(config.centreon() != nullptr);
  CHECK(config.centreon()->find("database") != nullptr);
}

TEST_CASE("the parts of a configuration stay where they are found when it is moved") {
  const Loaded loaded(poller);
  AgentConfig moved = loaded.config();
  const AgentConfig again = std::move(moved);
  REQUIRE(again.gorgone() != nullptr);
  CHECK(again.gorgone()->find("gorgonecore") != nullptr);
  CHECK(again.core.text("external_com_type") == "tcp");
}

TEST_CASE("a file without configuration at its top is refused") {
  for (const char* yaml : {"", "gorgone: {}\n", "configuration: text\n", "configuration: [1]\n", "[1]\n"}) {
    INFO(yaml);
    const Loaded loaded(yaml);
    REQUIRE(loaded.result->has_error());
    CHECK(loaded.result->error().message.find("\"configuration\"") != std::string::npos);
  }
}

TEST_CASE("what is wrong in the daemon's own part is told with its place") {
  const Loaded loaded("configuration:\n  gorgone:\n    gorgonecore:\n      timeout: soon\n      extrnal_com_type: tcp\n    modle: 1\n");
  CHECK(loaded.result->has_value());
  CHECK(loaded.tells("gorgonecore.timeout: got \"soon\" (config.yaml:4), expected seconds from 1 to 3600 (default 50)\n"));
  CHECK(loaded.tells("gorgonecore.extrnal_com_type: unknown option (config.yaml:5); did you mean \"external_com_type\"?\n"));
  CHECK(loaded.tells("gorgone.modle: unknown option (config.yaml:6); did you mean \"modules\"?\n"));
  CHECK(loaded.problems.size() == 3);
}

TEST_CASE("a configuration without gorgone, or with parts of another kind, is an error") {
  CHECK(Loaded("configuration:\n  centreon: {}\n").tells("gorgone: missing"));
  CHECK(Loaded("configuration:\n").tells("gorgone: missing"));
  CHECK(Loaded("configuration:\n  gorgone: [1]\n").tells("gorgone: wrong kind of value (config.yaml:2), expected a map"));
  CHECK(Loaded(with_modules("{a: 1}")).tells("gorgone.modules: wrong kind of value"));
  CHECK(Loaded("configuration:\n  gorgone:\n    gorgonecore: 5\n").tells("gorgonecore: got \"5\""));
}

TEST_CASE("a module without a name or with a foreign package is told and left out") {
  const Loaded loaded(with_modules(
      "[{package: 'gorgone::modules::core::action::hooks', enable: true}, {name: x, package: other, enable: true}, 7, {name: cron}]"));
  CHECK(loaded.tells("modules[0].name: missing (config.yaml:3), expected a text"));
  CHECK(loaded.tells(
      "modules.x.package: got \"other\" (config.yaml:3), expected gorgone::modules::<area>::<name>::hooks, or the key library"));
  CHECK(loaded.tells("modules[2]: got \"7\""));
  CHECK(loaded.problems.size() == 3);
  REQUIRE(loaded.config().modules.size() == 1);
  CHECK(loaded.config().modules[0].library == "cron");
}

TEST_CASE("a library that is named counts more than the package") {
  const Loaded loaded(with_modules("[{name: a, library: /opt/a.so, package: 'gorgone::modules::core::action::hooks'}]"));
  CHECK(loaded.messages() == "");
  CHECK(loaded.config().modules.at(0).library == "/opt/a.so");
  CHECK(loaded.config().modules.at(0).package == "gorgone::modules::core::action::hooks");
}

TEST_CASE("of the entries of one module the first that is enabled counts, and those after it are told") {
  const Loaded loaded(
      with_modules("[{name: cron, enable: 'no', ping: 1},\n      {name: cron, ping: 2},\n      {name: proxy},\n      "
                   "{name: cron, ping: 3},\n      {name: other, enable: true, package: 'gorgone::modules::core::cron::hooks'}]"));
  CHECK(loaded.messages() ==
        "modules.cron: the entry at config.yaml:6 has no effect: that at config.yaml:4 is of the same module, enabled, and comes first\n"
        "modules.other: the entry at config.yaml:7 has no effect: that at config.yaml:4 is of the same module, enabled, and comes first\n");
  const auto& modules = loaded.config().modules;
  REQUIRE(modules.size() == 3);
  CHECK_FALSE(modules[0].enabled);
  CHECK(modules[1].enabled);
  CHECK(modules[1].values.find("ping")->scalar == "2");
  CHECK(modules[2].name == "proxy");
}

TEST_CASE("an entry with a package is enabled where it says so, as with deployed daemons") {
  const std::string package = "package: 'gorgone::modules::core::proxy::hooks'";
  const auto enabled = [&](const std::string& more) {
    const Loaded loaded(with_modules("[{name: proxy, " + package + more + "}]"));
    return std::pair(loaded.config().modules.at(0).enabled, loaded.messages());
  };
  for (const char* yes : {"true", "'true'", "1", "yes", "True"})
    CHECK(enabled(std::string(", enable: ") + yes) == std::pair(true, std::string()));
  for (const char* no : {"false", "'false'"}) CHECK(enabled(std::string(", enable: ") + no) == std::pair(false, std::string()));
  for (const char* missing : {"", ", enable:"}) {
    const auto [is_on, told] = enabled(missing);
    CHECK_FALSE(is_on);
    CHECK(told.find("modules.proxy.enable: missing (config.yaml:3): the entry is passed over") == 0);
  }
  // Deployed daemons load these; whoever wrote them did not want that.
  for (const char* no : {"no", "off", "0", "FALSE"}) {
    const auto [is_on, told] = enabled(std::string(", enable: ") + no);
    CHECK_FALSE(is_on);
    CHECK(told == std::string("modules.proxy.enable: got \"") + no +
                      "\" (config.yaml:3), which is taken as false, while deployed daemons load the module; expected true or false\n");
  }
  const auto [is_on, told] = enabled(", enable: perhaps");
  CHECK(is_on);
  CHECK(told == "modules.proxy.enable: got \"perhaps\" (config.yaml:3), expected true or false\n");
  CHECK(enabled(", library: proxy") == std::pair(true, std::string()));
}

TEST_CASE("the form of a package is of no matter where it is not loaded") {
  const Loaded loaded(with_modules("[{name: x, package: other, enable: false}]"));
  CHECK(loaded.messages() == "");
  CHECK_FALSE(loaded.config().modules.at(0).enabled);
}

TEST_CASE("what does not happen without a module is known of those that deployed daemons have alone") {
  CHECK(lost_without("gorgone::modules::core::cron::hooks") == "the jobs of its cron (cron.d) do not run");
  CHECK_FALSE(lost_without("gorgone::modules::centreon::mbi::etl::hooks").empty());
  CHECK(lost_without("gorgone::modules::core::action::hooks").empty());
  CHECK(lost_without("").empty());
}

TEST_CASE("a key beside gorgone and centreon is a warning, but for what deployed files say of themselves") {
  const Loaded loaded(
      "configuration:\n  name: x\n  description: y\n  gorgone: {gorgonecore: {id: 1}}\n  httpserver: {port: 1}\n  centron: {}\n");
  CHECK(loaded.tells("configuration.httpserver: unknown option (config.yaml:5)"));
  CHECK(loaded.tells("configuration.centron: unknown option (config.yaml:6); did you mean \"centreon\"?"));
  CHECK_FALSE(loaded.tells("configuration.name"));
  CHECK_FALSE(loaded.tells("configuration.description"));
}

TEST_CASE("a package names its library") {
  CHECK(library_of_package("gorgone::modules::centreon::legacycmd::hooks") == "legacycmd");
  CHECK(library_of_package("gorgone::modules::core::httpserverng::hooks") == "httpserver");
  CHECK(library_of_package("gorgone::modules::centreon::mbi::etl::hooks") == "mbi-etl");
  for (const char* other :
       {"", "action", "gorgone::modules::core::hooks", "gorgone::modules::core::../x::hooks", "gorgone::modules::core::action",
        "gorgone::modules::::action::hooks", "gorgone::modules::core::a::::b::hooks", "gorgone::modules::core::::hooks"}) {
    INFO(other);
    CHECK(library_of_package(other).empty());
  }
}

TEST_CASE("the database's file is read from either form of its name") {
  const auto path_of = [](const std::string& name) {
    const Loaded loaded("configuration:\n  gorgone:\n    gorgonecore:\n      gorgone_db_name: \"" + name + "\"\n");
    return database_path(loaded.config().core);
  };
  CHECK(path_of("dbname=/a/b.sdb") == "/a/b.sdb");
  CHECK(path_of("dbname=/a/b.sdb;timeout=3") == "/a/b.sdb");
  CHECK(path_of("/a/b.sdb") == "/a/b.sdb");
  CHECK(path_of("SQLite:dbname=/a/b.sdb;timeout=3") == "/a/b.sdb");
  CHECK(database_path(Loaded("configuration:\n  gorgone: {}\n").config().core) == "/var/lib/centreon-gorgone/history.sdb");
}

TEST_CASE("each default of gorgonecore is one that its own option allows") {
  ConfigValue defaults;
  defaults.kind = ConfigValue::Kind::map;
  for (const Option& option : core_schema()) {
    if (option.standard.empty()) continue;
    ConfigValue value;
    value.kind = ConfigValue::Kind::scalar;
    value.scalar = option.standard;
    defaults.map.emplace_back(option.key, value);
  }
  CHECK(defaults.map.size() > 10);
  CHECK(check(defaults, core_schema(), "gorgonecore").empty());
}
