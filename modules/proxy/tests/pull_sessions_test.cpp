#include "pull_sessions.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using proxy::PullSessions;

namespace {

auto claim(PullSessions& sessions, const std::string& node, const std::string& session, const std::string& type = "pull",
           std::string identity = {}) {
  NodeSpec spec;
  spec.id = node;
  spec.type = "pull";
  spec.identity = identity.empty() ? session : std::move(identity);
  return sessions.claim(spec, session, type, "1");
}

}  // namespace

TEST_CASE("a session registers for its node, and again without any news") {
  PullSessions sessions;
  auto first = claim(sessions, "6", "gorgone-6-a", "");
  REQUIRE(first.has_value());
  CHECK((first->is_new && first->before.empty()));
  CHECK_FALSE(claim(sessions, "6", "gorgone-6-a")->is_new);
  CHECK(sessions.of("6") == "gorgone-6-a");
  CHECK(sessions.node_of("gorgone-6-a") == "6");
}

TEST_CASE("a newer session of a node takes the place of the one before, which speaks for nobody then") {
  PullSessions sessions;
  sessions.restore({{"6", "gorgone-6-a"}});
  const auto second = claim(sessions, "6", "gorgone-6-b");
  REQUIRE(second.has_value());
  CHECK((second->is_new && second->before == "gorgone-6-a"));
  CHECK(sessions.node_of("gorgone-6-a").empty());
  CHECK(sessions.node_of("gorgone-6-b") == "6");
}

TEST_CASE("a session that gives another identity, a second node, the daemon's own id or a node of another type is refused") {
  PullSessions sessions;
  claim(sessions, "6", "gorgone-6-a");
  for (const auto& refused : {claim(sessions, "6", "gorgone-6-b", "pull", "gorgone-6-a"), claim(sessions, "7", "gorgone-6-a"),
                              claim(sessions, "1", "gorgone-1-a"), claim(sessions, "8", "gorgone-8-a", "push_zmq")}) {
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == "refused");
  }
  CHECK(sessions.of("6") == "gorgone-6-a");
  CHECK(sessions.of("7").empty());
  CHECK(sessions.of("8").empty());
}

TEST_CASE("a session whose node was forgotten may register anew") {
  PullSessions sessions;
  claim(sessions, "6", "gorgone-6-a");
  sessions.forget("6");
  CHECK(sessions.of("6").empty());
  CHECK(sessions.node_of("gorgone-6-a").empty());
  CHECK(claim(sessions, "7", "gorgone-6-a").has_value());
}
