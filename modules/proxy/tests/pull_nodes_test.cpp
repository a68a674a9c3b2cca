#include "pull_nodes.hpp"

#include <catch2/catch.hpp>
#include <support/loop_agent.hpp>

namespace {

using namespace gorgone;

struct Table : proxy::NodeTable {
  std::map<std::string, NodeSpec> nodes;
  std::vector<std::string> unregistered;

  std::optional<NodeSpec> spec_of(const std::string& node) const override {
    const auto known = nodes.find(node);
    return known == nodes.end() ? std::nullopt : std::optional(known->second);
  }
  std::string id_of(const std::string& name) const override { return name; }
  void register_all(std::vector<proxy::Registration> list) override {
    for (auto& entry : list) nodes[entry.spec.id] = entry.spec;
  }
  void change(NodeSpec spec) override { nodes[spec.id] = std::move(spec); }
  void unregister(const std::string& node) override { unregistered.push_back(node); }
  void learn(const std::string&, const std::string&) override {}
  void unlearn(const std::string&, const std::string&) override {}
};

struct Fixture {
  test::LoopAgent agent;
  Table table;
  proxy::PullNodes nodes{agent, table};

  // As a file lists it.
  Fixture() {
    NodeSpec spec;
    spec.id = "6";
    spec.type = "pull";
    table.nodes["6"] = spec;
  }
  Result<void> say(const std::string& session, bool is_hello) {
    const json::value entry{{"id", "6"}, {"type", "pull"}, {"identity", session}};
    const json::value data{{"nodes", json::array{entry}}};
    return is_hello ? nodes.register_by(session, data) : nodes.unregister_by(session, data);
  }
};

}  // namespace

TEST_CASE("a node that says good-bye and had not registered is no error, and stays as it is") {
  Fixture test;
  CHECK(test.say("gorgone-6-a", false).has_value());
  CHECK(test.table.nodes.contains("6"));
  CHECK(test.table.unregistered.empty());
}

TEST_CASE("a session may not say good-bye for a node that speaks through another one") {
  Fixture test;
  REQUIRE(test.say("gorgone-6-a", true).has_value());
  const auto refused = test.say("gorgone-6-b", false);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message == "session gorgone-6-b may not unregister node '6', which speaks through another one");
  CHECK(test.table.nodes.at("6").identity == "gorgone-6-a");
}

TEST_CASE("a node that says good-bye through its session has none any more") {
  Fixture test;
  REQUIRE(test.say("gorgone-6-a", true).has_value());
  REQUIRE(test.say("gorgone-6-a", false).has_value());
  CHECK(test.table.nodes.at("6").identity.empty());
  // And once more: there is nothing left to take leave of.
  CHECK(test.say("gorgone-6-a", false).has_value());
}
