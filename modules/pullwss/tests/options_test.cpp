#include <catch2/catch.hpp>

#include "../options.hpp"

using namespace gorgone;
using namespace gorgone::pullwss;

namespace {

Settings settings_of(const std::string& text) {
  auto values = std::make_shared<const ConfigValue>(ConfigValue::from_json(*parse_json(text), "test"));
  return Settings(std::make_shared<const Schema>(schema()), values);
}

std::vector<std::string> problems_of(const std::string& text) {
  std::vector<std::string> messages;
  for (const auto& problem : check_options(settings_of(text))) messages.push_back(problem.message);
  return messages;
}

bool any_holds(const std::vector<std::string>& messages, const std::string& part) {
  for (const auto& message : messages)
    if (message.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a proxy's URL gives host, port and credentials, percent-encoding undone") {
  const auto proxy = parse_proxy("http://me:p%40ss%3Aword@proxy.example:3128");
  REQUIRE(proxy.has_value());
  CHECK(proxy->host == "proxy.example");
  CHECK(proxy->port == 3128);
  CHECK(proxy->credentials == "me:p@ss:word");
  const auto bare = parse_proxy("http://[2001:db8::1]:8080/");
  REQUIRE(bare.has_value());
  CHECK(bare->host == "2001:db8::1");
  CHECK(bare->credentials.empty());
}

TEST_CASE("a proxy that is none is an error that does not tell its password") {
  for (const std::string url : {"proxy.example:3128", "https://me:secret@proxy.example:3128", "http://me:secret@proxy.example",
                                "http://me:secret@:1", "http://me:sec ret@proxy.example:3128"}) {
    const auto proxy = parse_proxy(url);
    REQUIRE_FALSE(proxy.has_value());
    CHECK(proxy.error().message.find("expected http://[user:password@]host:port") != std::string::npos);
    CHECK(proxy.error().message.find("sec") == std::string::npos);
  }
}

TEST_CASE("the certificate is checked unless the configuration says otherwise") {
  const auto options = read_options(settings_of(R"({"address":"c","port":443,"token":"t","ssl":true})"));
  CHECK(options.verify);
  CHECK(options.url() == "wss://c:443/");
  CHECK(options.ping_timeout == std::chrono::seconds(10));
}

TEST_CASE("the names that deployed nodes have for path and check are taken, and an explicit value is followed") {
  const auto options = read_options(settings_of(
      R"({"address":"c","port":443,"token":"t","ssl":true,"central_uri":"/centreon/gorgone/pullwss/websocket","https_cert_no_verify":"true"})"));
  CHECK(options.url() == "wss://c:443/centreon/gorgone/pullwss/websocket");
  CHECK_FALSE(options.verify);
  const std::string begin = R"({"address":"c","port":443,"token":"t","ssl":true,)";
  CHECK(read_options(settings_of(begin + R"("https_cert_no_verify":false})")).verify);
  CHECK(read_options(settings_of(begin + R"("central_uri":""})")).path == "/");
  CHECK(any_holds(problems_of(begin + R"("https_cert_no_verify":true})"), "modules.pullwss.https_cert_no_verify"));
  CHECK(any_holds(problems_of(begin + R"("central_uri":"/a b"})"), "modules.pullwss.central_uri"));
  CHECK(problems_of(begin + R"("https_cert_no_verify":false,"central_uri":"/a"})").empty());
}

TEST_CASE("where both names of an option are written and differ the own one counts, and that is told") {
  const std::string begin = R"({"address":"c","port":443,"token":"t","ssl":true,)";
  const auto paths = begin + R"("path":"/ours","central_uri":"/theirs"})",
             checks = begin + R"("tls_verify":true,"https_cert_no_verify":true})";
  CHECK(read_options(settings_of(paths)).path == "/ours");
  CHECK(any_holds(problems_of(paths), "central_uri (test): got \"/theirs\", but path is \"/ours\", which counts"));
  CHECK(read_options(settings_of(checks)).verify);
  CHECK(any_holds(problems_of(checks), "https_cert_no_verify (test): it says the opposite of tls_verify: true, which counts"));
  CHECK(problems_of(begin + R"("path":"a","central_uri":"/a","tls_verify":true,"https_cert_no_verify":false})").empty());
}

TEST_CASE("the largest message for a deployed central is bounded by what that takes") {
  const std::string begin = R"({"address":"c","port":443,"token":"t",)";
  CHECK(read_options(settings_of(begin + R"("ssl":true})")).max_told_size == 250000);
  CHECK(read_options(settings_of(begin + R"("max_msg_size":130000})")).max_told_size == 130000);
  CHECK(read_options(settings_of(begin + R"("max_msg_size":"1000000"})")).max_told_size == 250000);
}

TEST_CASE("a path without a slash before it gets one, an IPv6 address loses its brackets") {
  const auto options = read_options(settings_of(R"({"address":"[::1]","port":80,"token":"t","path":"gorgone"})"));
  CHECK(options.address == "::1");
  CHECK(options.url() == "ws://[::1]:80/gorgone");
}

TEST_CASE("what lets others read or speak is a warning, what cannot work an error that names the key") {
  CHECK(any_holds(problems_of(R"({"address":"c","port":80,"token":"t"})"), "modules.pullwss.ssl"));
  CHECK(any_holds(problems_of(R"({"address":"c","port":80,"token":"t","ssl":true,"tls_verify":false})"), "modules.pullwss.tls_verify"));
  CHECK(problems_of(R"({"address":"c","port":80,"token":"t","ssl":true})").empty());
  CHECK(any_holds(problems_of(R"({"address":"c","port":80,"token":"t","ssl":true,"ssl_ca_file":"/nowhere"})"),
                  "ssl_ca_file: got \"/nowhere\""));
  CHECK(any_holds(problems_of(R"({"address":"c","port":80,"token":"a b","ssl":true})"), "modules.pullwss.token"));
  CHECK(any_holds(problems_of(R"({"address":"c","port":80,"token":"t","ssl":true,"path":"/a?b"})"), "modules.pullwss.path"));
  CHECK(any_holds(problems_of(R"({"address":"c","port":80,"token":"t","ssl":true,"proxy":"nonsense"})"), "modules.pullwss.proxy"));
}
