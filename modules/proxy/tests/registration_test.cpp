#include "registration.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;

namespace {

Result<std::vector<proxy::Registration>> read(const char* text) { return proxy::read_registration(*parse_json(text)); }

}  // namespace

TEST_CASE("nodes are read with numbers or text, and standard values for what is missing") {
  const auto list = read(R"({"nodes":[{"id":2,"type":"push_zmq","address":"10.0.0.1","port":"5557","prevail":"1","ssh_port":22,
                              "nodes":[{"id":9,"pathscore":"5"},{"id":"10"}]},{"id":"3"}]})");
  REQUIRE(list.has_value());
  REQUIRE(list->size() == 2);
  const auto& first = (*list)[0];
  CHECK(first.spec.id == "2");
  CHECK(first.spec.port == 5557);
  CHECK(proxy::is_prevailing({{"prevail", "1"}}));
  CHECK(proxy::is_prevailing({{"prevail", true}}));
  CHECK_FALSE(proxy::is_prevailing({{"prevail", "no"}}));
  CHECK_FALSE(proxy::is_prevailing({}));
  CHECK(first.subnodes == std::map<std::string, std::int64_t>{{"9", 5}, {"10", 1}});
  CHECK(first.spec.extra.at("ssh_port") == 22);
  CHECK((*list)[1].spec.type == "push_zmq");
  CHECK((*list)[1].spec.port == 5556);
}

TEST_CASE("a registration that makes no sense names what is wrong") {
  CHECK(read(R"({"nodes":[{"type":"pull"}]})").error().message.find("id") != std::string::npos);
  CHECK(read(R"({"nodes":[{"id":2,"port":70000}]})").error().message.find("70000") != std::string::npos);
  CHECK(read(R"({"nodes":{}})").error().message.find("nodes") != std::string::npos);
  CHECK_FALSE(read("[]").has_value());
  CHECK_FALSE(read(R"({"nodes":[{"id":"a b"}]})").has_value());
  CHECK_FALSE(read((R"({"nodes":[{"id":")" + std::string(65, 'a') + "\"}]}").c_str()).has_value());
}

TEST_CASE("no password of a registration comes into an error") {
  CHECK(read(R"({"nodes":[{"ssh_password":"secret"}]})").error().message.find("secret") == std::string::npos);
  CHECK(read(R"({"node":[{"ssh_password":"secret"}]})").error().message.find("secret") == std::string::npos);
}

TEST_CASE("nodes behind a node are found at any number of hops") {
  const auto nodes = *parse_json(R"({"3":{"nodes":{"4":{"nodes":{"5":{}}}}},"6":{"nodes":{}},"7":{"nodes":[]},"8":null})");
  CHECK(proxy::nodes_behind(nodes) == std::set<std::string>{"3", "4", "5", "6", "7", "8"});
  CHECK(proxy::nodes_behind(*parse_json("[]")).empty());
}
