#include "../options.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::httpserver;

namespace {

Settings settings(const char* text) {
  auto value = parse_json(text);
  REQUIRE(value.has_value());
  return {std::make_shared<const Schema>(schema()), std::make_shared<const ConfigValue>(ConfigValue::from_json(*value, "test.yaml"))};
}

std::string problems(const char* text) {
  std::string all;
  for (const auto& problem : check_options(settings(text))) all += problem.message + "\n";
  return all;
}

}  // namespace

TEST_CASE("without options the server listens on every address without password") {
  auto options = read_options(settings("{}"));
  CHECK(options.address == "0.0.0.0");
  CHECK(options.port == 8080);
  CHECK_FALSE(options.is_tls);
  CHECK_FALSE(options.credentials);
  CHECK_FALSE(options.subnets);
  CHECK(options.max_connections == 1000);
  CHECK(problems("{}").empty());
}

TEST_CASE("a password that is not enabled is not asked for") {
  CHECK_FALSE(read_options(settings(R"({"auth":{"enabled":"false","user":"a","password":"b"}})")).credentials);
  auto options = read_options(settings(R"({"auth":{"enabled":"true","user":"a","password":"b"}})"));
  REQUIRE(options.credentials);
  CHECK(options.credentials->accept("Basic YTpi"));
}

TEST_CASE("a password that is enabled must be there") {
  auto text = problems(R"({"auth":{"enabled":true,"user":"a"}})");
  CHECK(text.find("modules.httpserver.auth.password: is missing") != std::string::npos);
  CHECK(text.find("auth.user:") == std::string::npos);
}

TEST_CASE("a subnet that is none is named") {
  auto text = problems(R"({"allowed_hosts":{"enabled":true,"subnets":["127.0.0.1/32","10.0.0.0/40"]}})");
  CHECK(text.find("modules.httpserver.allowed_hosts.subnets") == 0);
  CHECK(text.find("\"10.0.0.0/40\"") != std::string::npos);
  CHECK(text.find("\"127.0.0.1/32\"") == std::string::npos);
}

TEST_CASE("allowed hosts without a subnet would shut everybody out and is an error") {
  CHECK_FALSE(problems(R"({"allowed_hosts":{"enabled":true}})").empty());
}

TEST_CASE("TLS without its files is an error that names them") {
  auto text = problems(R"({"ssl":true})");
  CHECK(text.find("modules.httpserver.ssl_cert_file: is missing") != std::string::npos);
  CHECK(text.find("modules.httpserver.ssl_key_file: is missing") != std::string::npos);
  text = problems(R"({"ssl":true,"ssl_cert_file":"/nowhere/cert.pem","ssl_key_file":"/nowhere/key.pem"})");
  CHECK(text.find("ssl_cert_file: got \"/nowhere/cert.pem\", No such file or directory") != std::string::npos);
}
