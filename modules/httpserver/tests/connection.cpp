#include "running.hpp"
#include "tls_certificate.hpp"

#include <catch2/catch.hpp>

#include <list>

using namespace gorgone;
using namespace gorgone::httpserver;
using namespace gorgone::httpserver::test;

namespace {

Options with_password() {
  auto options = small();
  options.credentials.emplace("admin", "secret");
  return options;
}

constexpr auto right_password = "Authorization: Basic YWRtaW46c2VjcmV0\r\n";
constexpr auto wrong_password = "Authorization: Basic YWRtaW46c2VjcmV1\r\n";

}  // namespace

TEST_CASE("a request without the password is refused at once and told which kind is wanted") {
  Running running(with_password());
  const auto begin = Clock::now();
  auto answer = running.ask(get("/api/log/abc", closing));
  CHECK(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
  CHECK(has(answer, "WWW-Authenticate: Basic "));
  CHECK(answer.ends_with(R"({"error":"http_error_401","message":"unauthorized"})"));
  CHECK(Clock::now() - begin < 400ms * slowness());
}

TEST_CASE("a wrong password is refused after a delay that grows, the right one is served at once") {
  Running running(with_password());
  auto begin = Clock::now();
  CHECK(running.ask(get("/api/log/abc", std::string(closing) + wrong_password)).starts_with("HTTP/1.1 401 "));
  const auto first = Clock::now() - begin;
  begin = Clock::now();
  running.ask(get("/api/log/abc", std::string(closing) + wrong_password));
  const auto second = Clock::now() - begin;
  CHECK(first >= 500ms);
  CHECK(second >= 1000ms);
  begin = Clock::now();
  CHECK(running.ask(get("/api/log/abc", std::string(closing) + right_password)).starts_with("HTTP/1.1 200 "));
  CHECK(Clock::now() - begin < 400ms * slowness());
}

TEST_CASE("the body of a stranger is not read") {
  Running running(with_password());
  auto client = running.client();
  client.send("POST /api/core/action/command HTTP/1.1\r\nHost: test\r\nContent-Length: 4000\r\n\r\n");
  CHECK(client.read_all().starts_with("HTTP/1.1 401 "));
  CHECK(running.core.submitted.empty());
}

TEST_CASE("an address outside the allowed networks is refused even with the password") {
  auto options = with_password();
  options.subnets = {*Subnet::parse("192.0.2.0/24")};
  Running outside(options);
  CHECK(outside.ask(get("/api/log/abc", std::string(closing) + right_password)).starts_with("HTTP/1.1 401 "));
  options.subnets->push_back(*Subnet::parse("127.0.0.0/8"));
  Running inside(options);
  CHECK(inside.ask(get("/api/log/abc", std::string(closing) + right_password)).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a body beyond its limit is status 413, whether its length is told or not") {
  Running running;
  CHECK(running.ask(post("/api/core/action/command", std::string(5000, '1'))).starts_with("HTTP/1.1 413 "));
  std::string chunked = "POST /api/core/action/command HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 6; ++i) chunked += "3e8\r\n" + std::string(1000, '1') + "\r\n";
  CHECK(running.ask(chunked + "0\r\n\r\n").starts_with("HTTP/1.1 413 "));
  CHECK(running.core.submitted.empty());
  CHECK(running.ask(post("/api/core/action/command", '"' + std::string(4000, '1') + '"', closing)).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a head beyond its limit is status 431") {
  Running running;
  CHECK(running.ask(get("/api/log/abc", "X: " + std::string(3000, 'x') + "\r\n")).starts_with("HTTP/1.1 431 "));
}

TEST_CASE("bytes that are no HTTP are status 400") {
  Running running;
  CHECK(running.ask("hello, is this the engine?\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

TEST_CASE("a request that does not arrive in time is status 408") {
  auto options = small();
  options.request_timeout = 1s;
  Running running(options);
  auto head = running.client(), body = running.client();
  head.send("GET /api/log/abc HTTP/1.1\r\nHost:");
  body.send("POST /api/core/action/command HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12");
  CHECK(head.read_all().starts_with("HTTP/1.1 408 "));
  CHECK(body.read_all().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a connection that asks nothing is closed without a word") {
  auto options = small();
  options.idle_timeout = 1s;
  Running running(options);
  auto client = running.client();
  CHECK(client.read_all().empty());
}

TEST_CASE("a connection is kept for further requests, an HTTP/1.0 one is closed") {
  Running running;
  auto client = running.client();
  client.send(get("/api/log/abc"));
  CHECK(has(client.read_until("no_log"), "HTTP/1.1 200 OK"));
  client.received.clear();
  client.send(get("/outside"));
  CHECK(has(client.read_until("forbidden"), "HTTP/1.1 403 Forbidden"));
  CHECK_FALSE(client.is_closed);
  CHECK(has(running.ask("GET /api/log/abc HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 OK"));
}

TEST_CASE("the answer to HEAD has no body") {
  Running running;
  auto answer = running.ask("HEAD /api/internal/constatus HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.1 405 "));
  CHECK(has(answer, "Allow: GET\r\n"));
  CHECK(answer.ends_with("\r\n\r\n"));
}

TEST_CASE("a client that waits for leave to send its body gets it") {
  Running running;
  auto client = running.client();
  client.send(
      "POST /api/core/action/command HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
  CHECK(has(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n"));
  client.send("[]");
  CHECK(has(client.read_all(), "HTTP/1.1 200 OK"));
}

TEST_CASE("a connection beyond the bound is told so while all others have asked, and has the place of the one that is silent for longest") {
  auto options = small();
  options.max_connections = 2;
  Running running(options);
  auto first = running.client(), second = running.client();
  first.send(post("/api/core/action/command?log_wait=500000", "[]"));
  REQUIRE(running.core.run_until([&] { return running.core.submitted.size() == 1; }));
  second.send(post("/api/core/action/command?log_wait=500000", "[]"));
  REQUIRE(running.core.run_until([&] { return running.core.submitted.size() == 2; }));
  auto answer = running.ask(get("/api/log/abc"));
  CHECK(answer.starts_with("HTTP/1.1 503 "));
  CHECK(has(answer, "Retry-After: 1\r\n"));
  CHECK(has(answer, R"("error":"http_error_503")"));
  first.read_until("no_log");
  second.read_until("no_log");
  first.received.clear();
  CHECK(running.ask(get("/api/log/abc", closing)).starts_with("HTTP/1.1 200 "));
  CHECK(first.read_all().empty());
  CHECK_FALSE(second.is_closed);
}

TEST_CASE("connections that say nothing, or half a request, keep nobody out") {
  auto options = with_password();
  options.max_connections = 3;
  Running running(options);
  auto known = running.client();
  known.send(get("/api/log/abc", right_password));
  known.read_until("no_log");
  known.received.clear();
  std::list<Client> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(running.client());
    if (i % 2 == 1) silent.back().send("GET /api/log/abc HTTP/1.1\r\nHost:");
    running.core.run_for(10ms);
  }
  for (int i = 0; i < 5; ++i) CHECK(running.ask(get("/api/log/abc", std::string(closing) + right_password)).starts_with("HTTP/1.1 200 "));
  CHECK(silent.front().read_all().empty());
  known.send(get("/api/log/abc"));
  CHECK(has(known.read_until("}"), "HTTP/1.1 401 "));  // it was kept
}

TEST_CASE("who may not connect takes no place") {
  auto options = small();
  options.subnets = {*Subnet::parse("192.0.2.0/24")};
  Running running(options);
  auto client = running.client();
  CHECK(client.read_all().starts_with("HTTP/1.1 401 "));  // before it has asked
}

TEST_CASE("an exception in one request is status 500 and ends nothing else") {
  Running running;
  running.core.on_submit = [](const Message&, const Reply&) { throw std::runtime_error("a bug"); };
  CHECK(running.ask(post("/api/core/action/command", "[]", closing)).starts_with("HTTP/1.1 500 "));
  CHECK(running.ask(get("/api/log/abc", closing)).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a stop closes idle connections and has waiting clients answered") {
  Running running;
  auto idle = running.client(), waiting = running.client();
  idle.send(get("/api/log/abc"));
  idle.read_until("no_log");
  waiting.send(post("/api/core/action/command?log_wait=60000000", "[]"));
  REQUIRE(running.core.run_until([&] { return !running.core.submitted.empty(); }));
  const auto begin = Clock::now();
  running.stop();
  CHECK(Clock::now() - begin < 1s);
  CHECK(has(waiting.read_all(), "no_log"));
  CHECK_FALSE(has(idle.read_all(), "HTTP/1.1 4"));
  auto late = [&] { return running.client(); };
  CHECK_THROWS(late());
}

TEST_CASE("cancelled sessions end, idle or waiting") {
  Running running;
  auto idle = running.client(), waiting = running.client();
  idle.send(get("/api/log/abc"));
  idle.read_until("no_log");
  waiting.send(get("/api/nodes/2/log/abc?log_wait=60000000"));
  running.core.nodes.on_fetch = [](const auto&) {};
  REQUIRE(running.core.run_until([&] { return running.core.nodes.fetches == 1; }));
  const auto begin = Clock::now();
  running.core.cancel_all();
  running.core.run();
  CHECK(Clock::now() - begin < 500ms * slowness());
  CHECK_FALSE(has(waiting.read_all(), "HTTP/1.1"));
}

TEST_CASE("a port that is taken is an error that names the option and the address") {
  Running running;
  auto options = small();
  options.port = running.server->port();
  std::string error;
  try {
    Running second(options);
  } catch (const std::runtime_error& failure) {
    error = failure.what();
  }
  CHECK(has(error, "modules.httpserver.port: cannot listen on 127.0.0.1:" + std::to_string(options.port) + ": Address already in use"));
}

TEST_CASE("an address that is none of this host is an error that names the option") {
  auto options = small();
  options.address = "no such host";
  std::string error;
  try {
    Running running(options);
  } catch (const std::runtime_error& failure) {
    error = failure.what();
  }
  CHECK(has(error, "modules.httpserver.address: got \"no such host\""));
}

TEST_CASE("the log names the address and the port that was taken") {
  Running running;
  CHECK(running.server->url() == "http://127.0.0.1:" + std::to_string(running.server->port()));
  CHECK(running.server->port() != 0);
}

TEST_CASE("over TLS the API answers, and versions before 1.2 are refused") {
  const gorgone::test::Certificate certificate;
  auto options = small();
  options.is_tls = true;
  options.tls_files.certificate = certificate.certificate_file;
  options.tls_files.key = certificate.key_file;
  options.tls_files.passphrase = "open sesame";
  Running running(options);
  CHECK(running.server->url().starts_with("https://"));

  auto ask = [&](int most) -> asio::awaitable<std::string> {
    asio::ssl::context context(asio::ssl::context::tls_client);
    SSL_CTX_set_max_proto_version(context.native_handle(), most);
    SSL_CTX_set_security_level(context.native_handle(), 0);
    asio::ssl::stream<asio::ip::tcp::socket> stream(running.core.loop(), context);
    const asio::ip::tcp::endpoint server(asio::ip::address_v4::loopback(), running.server->port());
    co_await stream.lowest_layer().async_connect(server, asio::use_awaitable);
    boost::system::error_code error;
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return "no handshake";
    const auto request = get("/api/log/abc", closing);
    const auto bytes = asio::buffer(request);
    co_await asio::async_write(stream, bytes, asio::use_awaitable);
    std::string answer;
    auto space = asio::dynamic_buffer(answer);
    co_await asio::async_read(stream, space, asio::redirect_error(asio::use_awaitable, error));
    // A clean end, not a connection that was cut.
    co_return error == asio::error::eof ? answer : "cut: " + error.message();
  };
  CHECK(running.core.finish(ask(TLS1_3_VERSION)).starts_with("HTTP/1.1 200 OK"));
  CHECK(running.core.finish(ask(TLS1_2_VERSION)).starts_with("HTTP/1.1 200 OK"));
  CHECK(running.core.finish(ask(TLS1_1_VERSION)) == "no handshake");
  CHECK_FALSE(has(running.ask(get("/api/log/abc", closing)), "HTTP/1.1"));
}

TEST_CASE("a key that its passphrase does not open, or of another certificate, is an error that names the option") {
  const gorgone::test::Certificate certificate, other;
  auto options = small();
  options.is_tls = true;
  options.tls_files.certificate = certificate.certificate_file;
  options.tls_files.key = certificate.key_file;
  auto error_of = [](const Options& wrong) {
    try {
      Running running(wrong);
    } catch (const std::runtime_error& failure) {
      return std::string(failure.what());
    }
    return std::string("none");
  };
  options.tls_files.passphrase = "wrong";
  CHECK(has(error_of(options), "modules.httpserver.ssl_key_file: got \"" + certificate.key_file + "\""));
  options.tls_files.passphrase = "open sesame";
  CHECK(error_of(options) == "none");
  options.tls_files.key = other.key_file;
  CHECK(has(error_of(options), "key values mismatch"));
  options.tls_files.certificate = "/nowhere/cert.pem";
  CHECK(has(error_of(options), "modules.httpserver.ssl_cert_file: got \"/nowhere/cert.pem\", No such file or directory"));
}
