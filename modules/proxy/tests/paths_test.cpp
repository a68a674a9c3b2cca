#include "paths.hpp"

#include <catch2/catch.hpp>

using gorgone::proxy::Paths;

namespace {

const auto all_alive = [](const std::string&) { return true; };
const auto none_alive = [](const std::string&) { return false; };

}  // namespace

TEST_CASE("a registered node is reached directly, with an empty target") {
  Paths paths;
  paths.add_node("2");
  paths.set_static("3", {{"2", 1}});
  const auto step = paths.find("2", all_alive);
  REQUIRE(step);
  CHECK(step->node == "2");
  CHECK(step->target.empty());
  CHECK_FALSE(paths.find("9", all_alive));
}

TEST_CASE("a subnode is reached through the parent with the lowest score that is alive") {
  Paths paths;
  for (const char* id : {"2", "3", "4"}) paths.add_node(id);
  paths.set_static("2", {{"9", 100}});
  paths.set_static("3", {{"9", 1}});
  paths.set_learned("4", {"9"});
  CHECK(paths.find("9", all_alive)->node == "3");
  CHECK(paths.find("9", all_alive)->target == "9");
  CHECK(paths.find("9", [](const std::string& id) { return id != "3"; })->node == "2");
  CHECK(paths.find("9", [](const std::string& id) { return id == "4"; })->node == "4");
  CHECK(paths.find("9", none_alive)->node == "3");
}

TEST_CASE("what a parent led to is forgotten with it") {
  Paths paths;
  paths.add_node("2");
  paths.set_static("2", {{"9", 1}});
  paths.set_learned("2", {"10"});
  paths.remove_node("2");
  CHECK_FALSE(paths.find("9", all_alive));
  CHECK_FALSE(paths.find("10", all_alive));
  CHECK_FALSE(paths.find("2", all_alive));
}

TEST_CASE("what is told again changes no way") {
  Paths paths;
  for (const bool is_first : {true, false}) {
    CHECK(paths.add_node("2") == is_first);
    CHECK_FALSE(paths.set_static("2", {}));
    CHECK(paths.set_static("3", {{"9", 1}}) == is_first);
    CHECK(paths.set_learned("4", {"9"}) == is_first);
    CHECK(paths.learn("5", "9") == is_first);
    CHECK(paths.forget("2", "9") == false);
  }
  CHECK(paths.set_static("3", {{"9", 2}}));
  CHECK(paths.set_learned("4", {}));
  CHECK(paths.forget("5", "9"));
}

TEST_CASE("what is learned from a parent that may be anybody counts only where nobody else leads, whether he is there or not") {
  Paths paths;
  for (const char* id : {"1", "2", "3", "7"}) paths.add_node(id);
  CHECK(paths.set_bound("1", false));
  CHECK_FALSE(paths.set_bound("1", false));
  const auto only = [](const std::string& alive) { return [alive](const std::string& id) { return id == alive; }; };
  const auto leads = [&](const std::string& target) { return paths.find(target, only("1"))->node; };
  paths.set_learned("1", {"7", "8", "9", "10"});
  CHECK(leads("9") == "1");
  paths.set_static("2", {{"9", 1}});
  paths.set_learned("3", {"10"});
  CHECK(leads("7") == "7");
  CHECK(leads("8") == "1");
  CHECK(leads("9") == "2");
  CHECK(leads("10") == "3");
  // What is listed behind it is its own, and one that has shown who it is leads where others are away, as deployed ones do.
  paths.set_static("1", {{"9", 100}});
  CHECK(leads("9") == "1");
  paths.set_static("1", {});
  CHECK(paths.set_bound("1", true));
  CHECK(leads("9") == "1");
  CHECK(leads("10") == "1");
  CHECK(paths.set_bound("1", false));
  paths.remove_node("1");
  CHECK_FALSE(paths.set_bound("1", true));
}

TEST_CASE("of parents that may be anybody the one who told first leads while it is alive") {
  Paths paths;
  for (const char* id : {"1", "2"}) {
    paths.add_node(id);
    paths.set_bound(id, false);
  }
  paths.set_learned("2", {"9"});
  paths.set_learned("1", {"9"});
  paths.set_learned("2", {"8", "9"});
  CHECK(paths.find("9", all_alive)->node == "2");
  CHECK(paths.find("9", none_alive)->node == "2");
  CHECK(paths.find("9", [](const std::string& id) { return id == "1"; })->node == "1");
  paths.set_learned("2", {"8"});
  CHECK(paths.find("9", all_alive)->node == "1");
  paths.set_learned("2", {"9"});
  CHECK(paths.find("9", all_alive)->node == "1");
}

TEST_CASE("what a parent that may be anybody tells of and others have is known, with who leads there") {
  Paths paths;
  for (const char* id : {"1", "2", "3", "7"}) paths.add_node(id);
  paths.set_static("1", {{"11", 1}});
  paths.set_static("2", {{"9", 1}, {"11", 1}});
  paths.set_learned("3", {"10"});
  paths.set_learned("1", {"1", "7", "8", "9", "10", "11", "70000"});
  const auto id_of = [](const std::string& name) { return name == "70000" ? std::string("7") : name; };
  CHECK(paths.refused("1", id_of).empty());
  paths.set_bound("1", false);
  CHECK(paths.refused("1", id_of) == std::map<std::string, std::string>{{"7", "7"}, {"9", "2"}, {"10", "3"}, {"70000", "7"}});
}

TEST_CASE("a step says whether the configuration has the target") {
  Paths paths;
  for (const char* id : {"2", "3"}) paths.add_node(id);
  paths.set_static("2", {{"9", 1}});
  paths.set_learned("3", {"10"});
  CHECK(paths.find("2", all_alive)->is_configured);
  CHECK(paths.find("9", all_alive)->is_configured);
  CHECK_FALSE(paths.find("10", all_alive)->is_configured);
}
