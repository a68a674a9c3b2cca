#include "queue_bench.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;

namespace {

// All that is said of a configuration, lines joined.
std::string problems_of(const std::string& yaml) {
  mcollective::test::Directory directory;
  const auto file = directory.file("options.yaml");
  std::ofstream(file) << yaml;
  std::vector<Problem> problems;
  auto values = std::make_shared<const ConfigValue>(*load_yaml(file, problems));
  auto schema = backbone_schema();
  for (auto& option : kept_schema()) schema.push_back(std::move(option));
  const Settings settings(std::make_shared<const Schema>(std::move(schema)), values);
  std::string all;
  for (const auto& found : {check_backbone(settings), check_kept(settings)})
    for (const auto& problem : found) all += problem.message + "\n";
  return all;
}

bool says(const std::string& yaml, const std::string& text) {
  const auto all = problems_of(yaml);
  CAPTURE(all);
  return all.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("addresses of NATS servers, a prefix and ways to log in that are right are taken") {
  for (const char* yaml :
       {"backbone: nats://nats1", "backbone: [\"nats://nats1:4222\", \"tls://[::1]:4222\", \"tls://[::1]\"]",
        "{backbone: nats://n, backbone_user: u, backbone_password: \"p;'\"}", "{backbone: nats://n, backbone_prefix: site-1_a}",
        "persistent: [{topic: \"mcollective reply **\"}, {topic: \"mcollective nodes *\"}]", "backbone: []"}) {
    CAPTURE(yaml);
    CHECK(problems_of(yaml) == "");
  }
}

TEST_CASE("what is wrong with the backbone's options is told with what was expected, and no password is shown") {
  CHECK(says("backbone: http://nats1", "modules.mcollective.backbone: got \"http://nats1\" (options.yaml:1), expected nats://HOST:PORT"));
  CHECK(says("backbone: nats://nats1:70000", "expected nats://HOST:PORT"));
  CHECK(says("backbone: nats://", "expected nats://HOST:PORT"));
  const std::string with_password = "backbone: nats://user:geheim@nats1";
  CHECK(says(with_password, "an address with a user in it"));
  CHECK_FALSE(says(with_password, "geheim"));
  CHECK(says("backbone_prefix: a.b", "letters, digits, - or _"));
  CHECK(says("backbone_tls: {cert: /x}", "expected both or none"));
  CHECK(says("backbone_password: x", "a password without backbone_user"));
  CHECK(says("{backbone_user: u, backbone_password: p, backbone_token: t}", "more than one way to log in"));
  const std::string quoted = "{backbone_user: u, backbone_password: 'ge\"heim'}";
  CHECK(says(quoted, "modules.mcollective.backbone_password: got a text with a quotation mark or a backslash"));
  CHECK_FALSE(says(quoted, "heim"));
}

TEST_CASE("patterns of persistent topics that are missing, wrong or there twice are told") {
  CHECK(says("persistent: [{messages_max: 3}]", "an entry without `topic`"));
  CHECK(says("persistent: [{topic: a}, {topic: a}]", "got \"a\" twice"));
  CHECK(says("persistent: [{topic: \"a ** b\"}]", "modules.mcollective.persistent: pattern \"a ** b\": expected"));
}
