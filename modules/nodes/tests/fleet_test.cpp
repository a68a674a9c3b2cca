#include "fleet.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using nodes::Fleet;
using Row = DatabaseTable::Row;

namespace {

const std::vector<std::string> newest{"id",
                                      "localhost",
                                      "ns_ip_address",
                                      "ns_activate",
                                      "name",
                                      "gorgone_port",
                                      "gorgone_communication_type",
                                      "remote_id",
                                      "remote_server_use_as_proxy",
                                      "uid"};

struct Given {
  std::string id, address = "10.0.0.1", type = "1", remote = {}, use_as_proxy = "1", uid = {}, localhost = "0", port = "5556", active = "1";
};

std::optional<std::string> cell(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

Fleet read(const std::vector<Given>& servers, std::vector<Row> relations = {}) {
  DatabaseTable table{newest, {}};
  for (const auto& s : servers)
    table.rows.push_back({s.id, s.localhost, cell(s.address), s.active, "name of " + s.id, cell(s.port), cell(s.type), cell(s.remote),
                          s.use_as_proxy, cell(s.uid)});
  return nodes::read_fleet(table, DatabaseTable{{"remote_server_id", "poller_server_id"}, std::move(relations)});
}

std::string text(const Fleet& fleet) {
  json::array list;
  for (const auto& [id, node] : fleet.nodes) list.push_back(node);
  return to_text(list);
}

}  // namespace

TEST_CASE("the server localhost is this one, the others are nodes with type, address and port") {
  const auto fleet = read({{"1", "127.0.0.1", "1", "", "1", "", "1"},
                           {"2"},
                           {"3", "a", "2", "", "1", "", "0", "22"},
                           {"4", "", "3", "", "1", "", "0", ""},
                           {"5", "", "4", "", "1", "70000"}});
  CHECK(fleet.own_id == "1");
  CHECK(text(fleet) ==
        R"([{"id":"2","type":"push_zmq","address":"10.0.0.1","port":5556},{"id":"3","type":"push_ssh","address":"a","port":22},)"
        R"({"id":"4","type":"pull","address":"","port":5556},{"id":"5","type":"pullwss","address":"","port":5556,"uid":"70000"}])");
  CHECK(fleet.left_out.empty());
}

TEST_CASE("a node with a remote stands behind it, unless the remote is no proxy or is the central itself") {
  const auto fleet = read({{"1", "x", "1", "", "1", "", "1"},
                           {"2"},
                           {"3", "", "1", "2", "1", "80000"},
                           {"4", "10.0.0.4", "1", "2", "0"},
                           {"5", "10.0.0.5", "1", "1"}});
  CHECK(to_text(fleet.nodes.at("2").at("nodes")) == R"([{"id":"3","pathscore":1,"uid":"80000"}])");
  CHECK(fleet.nodes.contains("4"));
  CHECK(fleet.nodes.contains("5"));
  CHECK(fleet.nodes.size() == 3);
  CHECK(fleet.subnodes == 1);
}

TEST_CASE("further remotes of a poller lead to it with a higher score, also where it has no address") {
  const auto fleet =
      read({{"2"}, {"6"}, {"3", "", "1", "2"}, {"7", ""}}, {{"6", "3"}, {"2", "3"}, {"2", "7"}, {"2", "99"}, {"98", "7"}, {"2", "2"}});
  CHECK(to_text(fleet.nodes.at("2").at("nodes")) == R"([{"id":"3","pathscore":1},{"id":"7","pathscore":100}])");
  CHECK(to_text(fleet.nodes.at("6").at("nodes")) == R"([{"id":"3","pathscore":100}])");
  CHECK(fleet.subnodes == 2);
  CHECK(fleet.left_out.empty());
}

TEST_CASE("a remote behind a remote is passed through, a circle is left out") {
  const auto fleet = read({{"2"}, {"3", "", "1", "2"}, {"4", "", "1", "3"}, {"5", "", "1", "6"}, {"6", "", "1", "5"}});
  CHECK(to_text(fleet.nodes.at("2").at("nodes")) == R"([{"id":"3","pathscore":1},{"id":"4","pathscore":1}])");
  REQUIRE(fleet.left_out.size() == 2);
  CHECK_THAT(fleet.left_out[0], Catch::Contains("node 5") && Catch::Contains("circle"));
}

TEST_CASE("a node that cannot be reached is left out and told why") {
  const auto fleet = read({{"2", ""}, {"3", "a", "1", "9"}, {"4", "a", "7"}, {"5", "a", "1", "", "1", "", "0", "70000"}, {"6"}});
  CHECK(fleet.nodes.size() == 1);
  REQUIRE(fleet.left_out.size() == 4);
  CHECK(fleet.left_out[0] == "node 2 (name of 2): it has no address (ns_ip_address)");
  CHECK_THAT(fleet.left_out[1], Catch::Contains("through node 9, which is not there or not active"));
  CHECK_THAT(fleet.left_out[2], Catch::Contains("gorgone_communication_type is \"7\""));
  CHECK_THAT(fleet.left_out[3], Catch::Contains("gorgone_port is 70000"));
}

TEST_CASE("an inactive server is no node, and no way to one") {
  const auto fleet = read({{"2", "a", "1", "", "1", "", "0", "1", "0"}, {"3", "", "1", "2"}});
  CHECK(fleet.nodes.empty());
  CHECK(fleet.left_out.size() == 1);
}

TEST_CASE("of the columns those are read that the database has, and one that nothing works without is named") {
  const auto older = nodes::columns_of({"id", "name", "localhost", "ns_ip_address", "ns_activate", "other"});
  REQUIRE(older.has_value());
  CHECK(*older == std::vector<std::string>{"id", "localhost", "ns_ip_address", "ns_activate", "name"});
  CHECK(nodes::columns_of({"id"}).error().message.find("no column localhost") != std::string::npos);
  const DatabaseTable table{*older, {{"2", "0", "a", "1", "n"}}};
  CHECK(text(nodes::read_fleet(table, {})) == R"([{"id":"2","type":"push_zmq","address":"a","port":5556}])");
}

TEST_CASE("only what is new, changed or gone is told") {
  const auto before = read({{"2"}, {"3"}, {"4"}}).nodes;
  const auto now = read({{"2"}, {"3", "b"}, {"5"}}).nodes;
  const auto difference = nodes::difference(before, now);
  CHECK(difference.added == 1);
  REQUIRE(difference.changed.size() == 2);
  CHECK(difference.changed[0].at("id") == "3");
  CHECK(to_text(difference.gone) == R"([{"id":"4"}])");
  const auto none = nodes::difference(now, now);
  CHECK(none.changed.empty());
  CHECK(none.gone.empty());
}
