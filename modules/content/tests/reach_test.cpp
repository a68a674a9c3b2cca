#include <catch2/catch.hpp>

#include "../reach.hpp"

using namespace gorgone;
using namespace gorgone::content;

namespace {

Reach reach(const char* nodes) { return reach_of(*parse_json(nodes), "4"); }

}  // namespace

TEST_CASE("a node of this daemon's own is up as its link is") {
  const auto up = reach(R"({"3":{"link":"up"},"4":{"link":"up","ping_ok":0}})");
  CHECK(up.is_up);
  CHECK_FALSE(up.is_behind);
  CHECK_FALSE(up.is_told_by_deployed);
  CHECK_FALSE(reach(R"({"4":{"link":"down","ping_ok":7}})").is_up);
  CHECK_FALSE(reach(R"({"3":{"link":"up","nodes":{}}})").is_up);
}

TEST_CASE("a node behind others is up where all that lead to it are") {
  const auto up = reach(R"({"2":{"link":"up","nodes":{"3":{"link":"up","nodes":{"4":{"link":"up"}}}}}})");
  CHECK(up.is_up);
  CHECK(up.is_behind);
  CHECK_FALSE(up.is_told_by_deployed);
  CHECK_FALSE(reach(R"({"2":{"link":"up","nodes":{"3":{"link":"down","nodes":{"4":{"link":"up"}}}}}})").is_up);
  CHECK_FALSE(reach(R"({"2":{"link":"down","nodes":{"3":{"link":"up","nodes":{"4":{"link":"up"}}}}}})").is_up);
}

TEST_CASE("of a node behind a deployed daemon the pings are counted that it has answered") {
  const auto up = reach(R"({"3":{"link":"up","nodes":{"4":{"type":"push_zmq","ping_ok":2,"nodes":{}}}}})");
  CHECK(up.is_up);
  CHECK(up.is_behind);
  CHECK(up.is_told_by_deployed);
  CHECK_FALSE(reach(R"({"3":{"link":"up","nodes":{"4":{"type":"push_zmq","ping_ok":0,"nodes":{}}}}})").is_up);
}

TEST_CASE("of several ways to a node the one that is up counts, and the direct one most") {
  CHECK(reach(R"({"2":{"link":"down","nodes":{"4":{"link":"up"}}},"3":{"link":"up","nodes":{"4":{"link":"up"}}}})").is_up);
  CHECK_FALSE(reach(R"({"3":{"link":"up","nodes":{"4":{"link":"up"}}},"4":{"link":"up"}})").is_behind);
  CHECK_FALSE(reach(R"({"4":{"link":"up"},"5":{"link":"up","nodes":{"4":{"link":"up"}}}})").is_behind);
}
