#include <catch2/catch.hpp>
#include <core/config/document.hpp>
#include <core/config/yaml_file.hpp>
#include <gorgone/config.hpp>

#include <stdexcept>

using namespace gorgone;

namespace {

using enum OptionType;

const Schema& schema() {
  static const Schema options = {
      Option{"command_timeout", integer, "30", "time a command may take"}.range(1, 86400).in("seconds"),
      Option{"ratio", number, "0.5", "a part of the whole"}.range(0, 1),
      Option{"whitelist_cmds", boolean, "false", "whether commands are held against the list"},
      Option{"allowed_cmds", texts, "", "expressions"},
      Option{"methods", texts, "[GET, POST]", "methods"}.one_of({"GET", "POST", "PUT"}),
      Option{"mode", text, "first", "what is trusted"}.one_of({"always", "first", "strict"}),
      Option{"file", path, "", "a file"}.required(),
      Option{"auth.user", text, "admin", "user"},
      Option{"auth.password", integer, "", "a number, so that it can be wrong"}.secret(),
      Option{"nodes", list, "", "nodes"},
      Option{"nodes[].id", text, "", "id"}.required(),
      Option{"nodes[].port", integer, "5556", "port"}.range(1, 65535),
      Option{"nodes[].nodes[].id", text, "", "subnode"}.required(),
      Option{"free", anything, "", "unchecked"},
      Option{"old_*", anything, "", "no longer"}.ignored(),
  };
  return options;
}

// A map with the required key, and what the test adds.
ConfigValue values(const std::string& yaml) { return parse_yaml_text("file: /tmp/x\n" + yaml); }

std::vector<std::string> messages(const ConfigValue& value, Problem::Severity severity) {
  std::vector<std::string> out;
  for (const Problem& problem : check(value, schema(), "modules.action", {"name", "enable"})) {
    if (problem.severity == severity) out.push_back(problem.message);
  }
  return out;
}

std::vector<std::string> errors(const ConfigValue& value) { return messages(value, Problem::Severity::error); }
std::vector<std::string> warnings(const ConfigValue& value) { return messages(value, Problem::Severity::warning); }

std::string only_error(const std::string& yaml) {
  const std::vector<std::string> found = errors(values(yaml));
  INFO(yaml);
  REQUIRE(found.size() == 1);
  return found[0];
}

Settings settings(const std::string& yaml) {
  return Settings(std::make_shared<const Schema>(schema()), std::make_shared<const ConfigValue>(parse_yaml_text(yaml)));
}

}  // namespace

TEST_CASE("an error of the configuration names place, key, value, what was expected and the default") {
  ConfigValue value = values("command_timeout: abc");
  value.map[1].second.where = {"/etc/gorgone/40-gorgoned.yaml", 12};
  CHECK(errors(value) == std::vector<std::string>{"modules.action.command_timeout: got \"abc\" (40-gorgoned.yaml:12), expected seconds "
                                                  "from 1 to 86400 (default 30)"});
}

TEST_CASE("integers may be quoted, and what is none or out of range is an error") {
  CHECK(errors(values("command_timeout: \"60\"")).empty());
  CHECK(errors(values("command_timeout: 86400")).empty());
  for (const char* wrong : {"0", "86401", "-1", "1.5", "30s", "0x10", "99999999999999999999", "true"}) {
    CHECK(only_error(std::string("command_timeout: ") + wrong).find("got \"" + std::string(wrong) + "\"") != std::string::npos);
  }
}

TEST_CASE("numbers are held against their range") {
  CHECK(errors(values("ratio: 0.25")).empty());
  CHECK(only_error("ratio: 1.5").find("expected a number from 0 to 1 (default 0.5)") != std::string::npos);
  CHECK(only_error("ratio: nan").find("expected a number") != std::string::npos);
}

TEST_CASE("booleans are read in each of their spellings") {
  for (const char* yes : {"true", "TRUE", "\"true\"", "yes", "On", "1", "'1'"}) {
    INFO(yes);
    CHECK(errors(values(std::string("whitelist_cmds: ") + yes)).empty());
    CHECK(settings(std::string("whitelist_cmds: ") + yes).boolean("whitelist_cmds"));
  }
  for (const char* no : {"false", "No", "OFF", "0", "\"false\""}) {
    INFO(no);
    CHECK(errors(values(std::string("whitelist_cmds: ") + no)).empty());
    CHECK_FALSE(settings(std::string("whitelist_cmds: ") + no).boolean("whitelist_cmds"));
  }
  CHECK(only_error("whitelist_cmds: maybe").find("expected true or false (default false)") != std::string::npos);
}

TEST_CASE("a choice is taken in any case and read as the schema spells it") {
  CHECK(errors(values("mode: STRICT")).empty());
  CHECK(settings("mode: STRICT").text("mode") == "strict");
  CHECK(only_error("mode: frist").find("got \"frist\"") != std::string::npos);
  CHECK(only_error("mode: frist").find("expected one of always, first, strict (default first)") != std::string::npos);
}

TEST_CASE("a missing required option is an error that says where it is missing") {
  ConfigValue value = parse_yaml_text("mode: first");
  value.where = {"/etc/config.yaml", 30};
  CHECK(errors(value) == std::vector<std::string>{"modules.action.file: missing (config.yaml:30), expected a path"});
  CHECK(errors(parse_yaml_text("file:")).size() == 1);
  CHECK(errors(parse_yaml_text("file: ''")).size() == 1);
  CHECK(errors(ConfigValue()).size() == 1);
}

TEST_CASE("an option required inside of an optional map is missed only where the map is written") {
  CHECK(errors(values("nodes:")).empty());
  CHECK(only_error("nodes: [{id: 1}, {port: 1}]").find("modules.action.nodes[1].id: missing") == 0);
  CHECK(only_error("nodes: [{id: 1, nodes: [{}]}]").find("modules.action.nodes[0].nodes[0].id: missing") == 0);
}

TEST_CASE("an unknown option is a warning that names the nearest known one") {
  ConfigValue value = values("comand_timeout: 3");
  value.map[1].second.where = {"40-gorgoned.yaml", 12};
  CHECK(warnings(value) ==
        std::vector<std::string>{"modules.action.comand_timeout: unknown option (40-gorgoned.yaml:12); did you mean \"command_timeout\"?"});
  CHECK(errors(value).empty());
  CHECK(warnings(values("zzz: 3")).at(0).find("did you mean") == std::string::npos);
  CHECK(warnings(values("auth: {usr: x}")).at(0).find("modules.action.auth.usr: unknown option") == 0);
  CHECK(warnings(values("auth: {usr: x}")).at(0).find("did you mean \"user\"?") != std::string::npos);
}

TEST_CASE("options of others, ignored ones and unchecked ones are passed over") {
  const ConfigValue value = values("name: action\nenable: false\nold_style: [1]\nold_: 2\nfree: {anything: [{goes: 1}]}");
  CHECK(warnings(value).empty());
  CHECK(errors(value).empty());
  CHECK(warnings(values("ol_style: 1")).size() == 1);
}

TEST_CASE("a value of the wrong kind is an error that says what was found") {
  CHECK(only_error("auth: x").find("modules.action.auth: got \"x\" (") == 0);
  CHECK(only_error("auth: [1]").find("got a list") != std::string::npos);
  CHECK(only_error("nodes: {id: 1}").find("got a map") != std::string::npos);
  CHECK(only_error("nodes: [1]").find("modules.action.nodes[0]: got \"1\"") == 0);
  CHECK(only_error("command_timeout: [30]").find("got a list") != std::string::npos);
  CHECK(only_error("allowed_cmds: {a: 1}").find("expected a list of texts") != std::string::npos);
  CHECK(only_error("allowed_cmds: [a, {b: 1}]").find("modules.action.allowed_cmds[1]: got a map") == 0);
  CHECK(errors(parse_yaml_text("[1]")).at(0).find("modules.action: got a list") == 0);
}

TEST_CASE("an empty text for a number is a warning and gives the default") {
  CHECK(errors(values("command_timeout: ''")).empty());
  CHECK(warnings(values("command_timeout: ''")).size() == 1);
  CHECK(settings("command_timeout: ''").integer("command_timeout") == 30);
}

TEST_CASE("a secret never appears in a message") {
  const std::string message = only_error("auth: {password: hunter2}");
  CHECK(message.find("hunter2") == std::string::npos);
  CHECK(message.find("got \"***\"") != std::string::npos);
}

TEST_CASE("a value that is kept in a vault is an error wherever it stands, and is not taken for the value itself") {
  const std::string told = ": is kept in a vault (:2), which cannot be read yet; expected the value itself";
  CHECK(only_error("auth: {user: 'secret::hashicorp_vault::a::b'}") == "modules.action.auth.user" + told);
  CHECK(only_error("auth: {password: 'secret::hashicorp_vault::a::b'}") == "modules.action.auth.password" + told);
  CHECK(only_error("nodes: [{id: 'secret::hashicorp_vault::a::b'}]") == "modules.action.nodes[0].id" + told);
  CHECK(only_error("allowed_cmds: [x, 'secret::hashicorp_vault::a::b']") == "modules.action.allowed_cmds[1]" + told);
  CHECK(only_error("allowed_cmds: 'secret::hashicorp_vault::a::b'") == "modules.action.allowed_cmds" + told);
  CHECK(errors(values("old_password: 'secret::hashicorp_vault::a::b'")).empty());
}

TEST_CASE("an absent value reads as its default") {
  const Settings empty(std::make_shared<const Schema>(schema()), nullptr);
  CHECK(empty.integer("command_timeout") == 30);
  CHECK(empty.number("ratio") == 0.5);
  CHECK_FALSE(empty.boolean("whitelist_cmds"));
  CHECK(empty.text("auth.user") == "admin");
  CHECK(empty.text("file").empty());
  CHECK(empty.texts("methods") == std::vector<std::string>{"GET", "POST"});
  CHECK(empty.texts("allowed_cmds").empty());
  CHECK(empty.items("nodes").empty());
  CHECK_FALSE(empty.has("auth.user"));
  CHECK(empty.raw("free") == nullptr);
}

TEST_CASE("a written value is read, and a wrong one reads as its default") {
  const Settings some =
      settings("command_timeout: '60'\nratio: 7\nauth: {user: me}\nallowed_cmds: one\nmethods: [put, DELETE]\nfree: {a: 1}");
  CHECK(some.integer("command_timeout") == 60);
  CHECK(some.number("ratio") == 0.5);
  CHECK(some.text("auth.user") == "me");
  CHECK(some.has("auth.user"));
  CHECK(some.has("auth"));
  CHECK(some.texts("allowed_cmds") == std::vector<std::string>{"one"});
  CHECK(some.texts("methods") == std::vector<std::string>{"PUT"});
  REQUIRE(some.raw("free") != nullptr);
  CHECK(some.raw("free")->find("a")->scalar == "1");
  CHECK(some.where("ratio").line == 2);
}

TEST_CASE("the maps of a list are read through their own options and outlive the settings they came from") {
  std::vector<Settings> nodes;
  { nodes = settings("nodes: [{id: 2, nodes: [{id: 5}]}, {id: 3, port: 80}]").items("nodes"); }
  REQUIRE(nodes.size() == 2);
  CHECK(nodes[0].text("id") == "2");
  CHECK(nodes[0].integer("port") == 5556);
  CHECK(nodes[1].integer("port") == 80);
  REQUIRE(nodes[0].items("nodes").size() == 1);
  CHECK(nodes[0].items("nodes")[0].text("id") == "5");
}

TEST_CASE("asking for what the schema does not hold, or as another type, is a bug") {
  const Settings some = settings("command_timeout: 60");
  CHECK_THROWS_AS(some.text("comand_timeout"), std::logic_error);
  CHECK_THROWS_AS(some.text("command_timeout"), std::logic_error);
  CHECK_THROWS_AS(some.integer("ratio"), std::logic_error);
  CHECK_THROWS_AS(some.texts("mode"), std::logic_error);
  CHECK_THROWS_AS(some.items("auth2"), std::logic_error);
  CHECK_THROWS_AS(some.has("nod"), std::logic_error);
}

TEST_CASE("values that came as JSON are checked like those of a file") {
  const Result<json::value> parsed =
      parse_json(R"({"file":"/x","command_timeout":"60","ratio":0.5,"whitelist_cmds":true,"nodes":[{"id":2,"port":null}]})");
  REQUIRE(parsed.has_value());
  const ConfigValue value = ConfigValue::from_json(*parsed, "LOADMODULE");
  CHECK(check(value, schema(), "modules.action").empty());
  CHECK(value.find("whitelist_cmds")->scalar == "true");
  CHECK(value.where.text() == "LOADMODULE");
}

TEST_CASE("the page of a module holds each option and each action") {
  const std::vector<Action> actions = {Action{"COMMAND", "POST", "/core/action/command"}, Action{"INNER", "", ""}};
  const std::string page = document_schema("action", "Runs commands.", schema(), actions);
  CHECK(page.find("# action\n\nRuns commands.\n") == 0);
  CHECK(page.find("| `command_timeout` | seconds from 1 to 86400 | `30` | time a command may take |\n") != std::string::npos);
  CHECK(page.find("| `file` | a path | **required** |") != std::string::npos);
  CHECK(page.find("without effect: `old_*`") != std::string::npos);
  CHECK(page.find("| `COMMAND` | `POST /api/core/action/command` |\n") != std::string::npos);
  CHECK(page.find("| `INNER` | not offered |\n") != std::string::npos);
}
