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
