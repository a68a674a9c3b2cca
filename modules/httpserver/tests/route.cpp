#include "../route.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::httpserver;
using namespace std::chrono_literals;

namespace {

/// POST /core/action/command, GET /centreon/statistics/broker, GET /internal/constatus; what follows them is variables.
Endpoints known() {
  struct Known {
    std::string method, path, action;
  };
  static const std::vector<Known> all = {
      {"POST", "/core/action/command", "COMMAND"},
      {"GET", "/core/cron/definitions", "GETCRON"},
      {"POST", "/core/cron/definitions", "ADDCRON"},
      {"GET", "/internal/constatus", "CONSTATUS"},
  };
  auto is_below = [](const std::string& path, const std::string& root) { return path == root || path.starts_with(root + "/"); };
  Endpoints endpoints;
  endpoints.find = [is_below](const std::string& method, const std::string& path) -> std::optional<Endpoint> {
    for (const auto& item : all) {
      if (item.method != method || !is_below(path, item.path)) continue;
      Endpoint found{item.action, {}};
      for (char c : path.substr(item.path.size())) {
        if (c == '/')
          found.variables.emplace_back();
        else
          found.variables.back() += c;
      }
      std::erase(found.variables, "");  // as the router does
      return found;
    }
    return {};
  };
  endpoints.methods = [is_below](const std::string& path) {
    std::vector<std::string> methods;
    for (const auto& item : all)
      if (is_below(path, item.path)) methods.push_back(item.method);
    return methods;
  };
  return endpoints;
}

Route found(std::string_view method, std::string_view target) {
  auto result = route(method, target, known());
  if (auto* refused = std::get_if<HttpAnswer>(&result)) FAIL(target << " was refused: " << refused->body);
  return std::get<Route>(std::move(result));
}

HttpAnswer refused(std::string_view method, std::string_view target) {
  auto result = route(method, target, known());
  if (std::holds_alternative<Route>(result)) FAIL(target << " was not refused");
  return std::get<HttpAnswer>(std::move(result));
}

}  // namespace

TEST_CASE("an action without a node is for this one") {
  auto route = found("POST", "/api/core/action/command");
  CHECK(route.kind == Route::Kind::action);
  CHECK(route.action == "COMMAND");
  CHECK(route.node.empty());
  CHECK(route.variables.empty());
  CHECK(route.parameters.empty());
}

TEST_CASE("an action's node comes from the path") {
  auto route = found("POST", "/api/nodes/2/core/action/command");
  CHECK(route.node == "2");
  CHECK(route.action == "COMMAND");
}

TEST_CASE("an empty node in the path means this one") { CHECK(found("POST", "/api/nodes//core/action/command").node.empty()); }

TEST_CASE("a node's id that could not stand in a message is refused") {
  CHECK(refused("POST", "/api/nodes/2%5D/core/action/command").status == 400);
  CHECK(refused("POST", "/api/nodes/a%20b/core/action/command").status == 400);
}

TEST_CASE("a slash at the end changes nothing") {
  auto route = found("POST", "/api/core/action/command/");
  CHECK(route.action == "COMMAND");
  CHECK(route.variables.empty());
}

TEST_CASE("parts of the path behind the action are its variables, decoded once") {
  auto route = found("GET", "/api/core/cron/definitions/a%20b/c%2Fd/%2541");
  CHECK(route.variables == std::vector<std::string>{"a b", "c/d", "%41"});
}

TEST_CASE("empty parts of the path are no variables and take none away") {
  auto route = found("GET", "/api/core/cron/definitions/a//b///c");
  CHECK(route.variables == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("an encoded slash does not split a part of the path") { CHECK(refused("POST", "/api/core%2Faction/command").status == 404); }

TEST_CASE("the query becomes parameters of text") {
  auto route = found("GET", "/api/core/cron/definitions?a=1&b=x+y%26&c&a=2");
  CHECK(to_text(route.parameters) == R"({"a":"2","b":"x y&","c":""})");
}

TEST_CASE("waits are taken out of the parameters") {
  auto route = found("POST", "/api/core/action/command?log_wait=1500000&sync_wait=10&x=1");
  CHECK(route.log_wait == 1500000us);
  CHECK(route.sync_wait == 10us);
  CHECK(to_text(route.parameters) == R"({"x":"1"})");
}

TEST_CASE("an empty wait is none") { CHECK_FALSE(found("POST", "/api/core/action/command?log_wait=").log_wait); }

TEST_CASE("a wait that is no number is refused with what was expected") {
  for (std::string wait : {"abc", "-1", "1.5", "3600000001", "99999999999999999999", "1%20"}) {
    auto answer = refused("POST", "/api/core/action/command?log_wait=" + wait);
    CHECK(answer.status == 400);
    CHECK(answer.body.find("log_wait") != std::string::npos);
    CHECK(answer.body.find("expected microseconds from 0 to 3600000000") != std::string::npos);
  }
}

TEST_CASE("a ping names its node behind internal") {
  const auto route = found("GET", "/api/internal/nodes/7/ping/");
  CHECK(route.kind == Route::Kind::ping);
  CHECK(route.action == "PING");
  CHECK(route.node == "7");
  CHECK(refused("POST", "/api/internal/nodes/7/ping").allow == "GET");
  CHECK(refused("GET", "/api/internal/nodes/a%20b/ping").status == 400);
  CHECK(refused("GET", "/api/internal/nodes/7/pong").status == 404);
}

TEST_CASE("the log of a token takes filters") {
  auto route = found("GET", "/api/nodes/3/log/abc?code=100&limit=5&id=7&ctime=1700000000.12345&etime=8");
  CHECK(route.kind == Route::Kind::log);
  CHECK(route.node == "3");
  CHECK(route.filter.token == "abc");
  CHECK(route.filter.code == 100);
  CHECK(route.filter.limit == 5u);
  CHECK(route.filter.id_after == 7);
  CHECK(route.filter.etime_after == 8);
  REQUIRE(route.filter.ctime_after);
  CHECK(*route.filter.ctime_after == 1700000000.12345);
}

TEST_CASE("a log without filters asks for the token alone") {
  auto filter = found("GET", "/api/log/abc").filter;
  CHECK(filter.token == "abc");
  CHECK_FALSE((filter.code || filter.limit || filter.id_after || filter.ctime_after || filter.etime_after));
}

TEST_CASE("a filter that is no number is refused") {
  CHECK(refused("GET", "/api/log/abc?code=x").status == 400);
  CHECK(refused("GET", "/api/log/abc?limit=0").status == 400);
  CHECK(refused("GET", "/api/log/abc?ctime=nan").status == 400);
  CHECK(refused("GET", "/api/log/abc?id=1;drop").status == 400);
}

TEST_CASE("a log without a token is unknown") {
  CHECK(refused("GET", "/api/log").status == 404);
  CHECK(refused("GET", "/api/log/").status == 404);
}

TEST_CASE("a log can only be read") {
  auto answer = refused("POST", "/api/log/abc");
  CHECK(answer.status == 405);
  CHECK(answer.allow == "GET");
}

TEST_CASE("core actions are internal ones") {
  CHECK(found("GET", "/api/internal/constatus").kind == Route::Kind::internal);
  CHECK(found("GET", "/api/nodes/2/internal/constatus").node == "2");
}

TEST_CASE("a path outside /api is forbidden") {
  for (auto target : {"/", "/apix/core/action/command", "/ap", "/core/action/command", "//api/log/x"}) {
    auto answer = refused("GET", target);
    CHECK(answer.status == 403);
    CHECK(answer.body == R"({"error":"http_error_403","message":"forbidden"})");
  }
}

TEST_CASE("an unknown path below /api is an unknown method") {
  for (auto target : {"/api", "/api/", "/api/nodes/2", "/api/core/action/nothing", "/api/core", "/api/../api/core/action/command"}) {
    auto answer = refused("POST", target);
    CHECK(answer.status == 404);
    CHECK(answer.body == R"({"error":"method_unknown","message":"Method not implemented"})");
  }
}

TEST_CASE("another method than the path's is told which it has") {
  auto answer = refused("DELETE", "/api/core/cron/definitions/1");
  CHECK(answer.status == 405);
  CHECK(answer.allow == "GET, POST");
  CHECK(answer.body.find(R"("error":"http_error_405")") != std::string::npos);
  CHECK(refused("HEAD", "/api/internal/constatus").status == 405);
}

TEST_CASE("a target that is no path is refused") {
  CHECK(refused("GET", "/api/log/%zz").status == 400);
  CHECK(refused("GET", "*").status == 400);
  CHECK(refused("GET", "/api/log/a b").status == 400);
}

TEST_CASE("a target that is a whole URL is taken by its path") {
  CHECK(found("GET", "http://central:8080/api/log/abc?limit=1").filter.token == "abc");
}
