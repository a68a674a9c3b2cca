#include "running.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::httpserver;
using namespace gorgone::httpserver::test;

TEST_CASE("an action is submitted with what the request holds and answered with its token") {
  Running running;
  auto answer = running.ask(post("/api/nodes/2/core/action/command?x=1", R"([{"command":"id"}])", closing));
  REQUIRE(running.core.submitted.size() == 1);
  const auto& message = running.core.submitted[0];
  CHECK(message.action == "COMMAND");
  CHECK(message.target == "2");
  CHECK(message.origin.kind == Origin::Kind::api);
  CHECK(message.token.size() == 128);
  CHECK(message.data.text() == R"({"content":[{"command":"id"}],"parameters":{"x":"1"},"variables":[]})");
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(has(answer, "Content-Type: application/json\r\n"));
  CHECK(answer.ends_with("\r\n\r\n{\"token\":\"" + message.token + "\"}"));
}

TEST_CASE("an empty body is a content of null") {
  Running running;
  running.ask(post("/api/core/action/command", "", closing));
  REQUIRE(running.core.submitted.size() == 1);
  CHECK(running.core.submitted[0].data.text() == R"({"content":null,"parameters":{},"variables":[]})");
}

TEST_CASE("a body that is no JSON is refused and nothing is submitted") {
  Running running;
  auto answer = running.ask(post("/api/core/action/command", "{", closing));
  CHECK(answer.starts_with("HTTP/1.1 400 "));
  CHECK(answer.ends_with(R"({"error":"decode_error","message":"POST content must be JSON-formated"})"));
  CHECK(running.core.submitted.empty());
}

TEST_CASE("requests sent at once are answered in their order") {
  Running running;
  running.core.on_submit = [&](const Message& message, Reply reply) {
    // The first is the slowest.
    const auto pause = running.core.submitted.size() == 1 ? 50ms : 0ms;
    running.core.after(pause, [reply, token = message.token] { reply(Answer{"ACK", token, 0, Payload("{}")}); });
  };
  auto answer = running.ask(post("/api/core/action/command", "1") + post("/api/core/action/command", "2") + get("/api/nowhere", closing));
  CHECK(count(answer, "HTTP/1.1 200 OK") == 2);
  REQUIRE(running.core.submitted.size() == 2);
  const auto first = answer.find(running.core.submitted[0].token), second = answer.find(running.core.submitted[1].token);
  const auto last = answer.find("HTTP/1.1 404 ");
  CHECK(first < second);
  CHECK(second < last);
  CHECK(last != std::string::npos);
}

TEST_CASE("a command that the router refuses outright is status 400, a busy one 503") {
  Running running;
  running.core.on_submit = [](const Message& message, Reply reply) {
    reply(Answer{"ACK", message.token, 1, Payload(R"({"error":"no_proxy","message":"no proxy configured"})")});
  };
  auto answer = running.ask(post("/api/nodes/2/core/action/command", "[]", closing));
  CHECK(answer.starts_with("HTTP/1.1 400 "));
  CHECK(has(answer, R"("error":"no_proxy","message":"no proxy configured","token":")" + running.core.submitted[0].token));
  running.core.on_submit = [](const Message& message, Reply reply) {
    reply(Answer{"ACK", message.token, 1, Payload(R"({"error":"busy","message":"the queue is full"})")});
  };
  CHECK(running.ask(post("/api/core/action/command", "[]", closing)).starts_with("HTTP/1.1 503 "));
}

TEST_CASE("a refusal that names no error is in the log, so the token is answered") {
  Running running;
  running.core.on_submit = [](const Message& message, Reply reply) {
    reply(Answer{"ACK", message.token, 1, Payload(R"({"message":"expected array"})")});
  };
  auto answer = running.ask(post("/api/core/action/command", "{}", closing));
  CHECK(answer.starts_with("HTTP/1.1 200 "));
  CHECK(has(answer, running.core.submitted[0].token));
}

TEST_CASE("a core action of this node is answered with its data, of another with a token") {
  Running running;
  running.core.on_submit = [](const Message& message, Reply reply) {
    reply(Answer{"CONSTATUS", message.token, 2, Payload(R"({"action":"constatus","data":{"2":{"ping_ok":1}}})")});
  };
  CHECK(running.ask(get("/api/internal/constatus", closing))
            .ends_with("\r\n\r\n"
                       R"({"action":"constatus","data":{"2":{"ping_ok":1}}})"));
  CHECK(has(running.ask(get("/api/nodes/2/internal/constatus", closing)), "{\"token\":"));
}

TEST_CASE("log_wait answers with the log as soon as the token has ended, not at its limit") {
  Running running;
  running.core.on_submit = [&](const Message& message, Reply reply) {
    reply(Answer{"ACK", message.token, 0, Payload("{}")});
    running.core.after(30ms, [&, token = message.token] { running.core.memory.commit(token, 100); });
    running.core.after(60ms, [&, token = message.token] { running.core.memory.commit(token, 2); });
  };
  const auto begin = std::chrono::steady_clock::now();
  auto answer = running.ask(post("/api/core/action/command?log_wait=8000000", "[]", closing));
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(has(answer, R"("message":"Logs found")"));
  CHECK(has(answer, R"("code":2)"));
  CHECK(took >= 60ms);
  CHECK(took < 2s);
}

TEST_CASE("log_wait sees an action that has ended before its reply came") {
  Running running;
  running.core.on_submit = [&](const Message& message, Reply reply) {
    running.core.memory.commit(message.token, 2);
    running.core.after(10ms, [reply] { reply(Answer{}); });
  };
  const auto begin = std::chrono::steady_clock::now();
  CHECK(has(running.ask(post("/api/core/action/command?log_wait=8000000", "[]", closing)), "Logs found"));
  CHECK(std::chrono::steady_clock::now() - begin < 2s);
}

TEST_CASE("log_wait ends at its limit with what there is") {
  Running running;
  running.core.on_submit = [&](const Message& message, Reply reply) {
    running.core.memory.commit(message.token, 0);
    reply(Answer{"ACK", message.token, 0, Payload("{}")});
  };
  auto answer = running.ask(post("/api/core/action/command?log_wait=100000", "[]", closing));
  CHECK(has(answer, R"("message":"Logs found")"));
  CHECK(has(running.ask(get("/api/log/unknown?log_wait=1000", closing)), R"("error":"no_log")"));
}

TEST_CASE("log_wait on another node asks it again and again, one request at a time") {
  Running running;
  std::string token;
  running.core.on_submit = [&](const Message& message, Reply reply) {
    token = message.token;
    reply(Answer{"ACK", message.token, 0, Payload("{}")});
  };
  running.core.nodes.on_fetch = [&](auto done) {
    running.core.after(5ms, [&, done] {
      if (running.core.nodes.fetches == 4) running.core.memory.commit(token, 2);
      done(Result<void>{});
    });
  };
  auto answer = running.ask(post("/api/nodes/2/core/action/command?log_wait=8000000", "[]", closing));
  CHECK(has(answer, R"("code":2)"));
  CHECK(running.core.nodes.fetches == 4);
  CHECK(running.core.nodes.most_under_way == 1);
}

TEST_CASE("a node that cannot be asked is not asked without pause") {
  Running running;
  running.core.nodes.on_fetch = [](auto done) { done(Error{"the link is down"}); };
  running.ask(post("/api/nodes/2/core/action/command?log_wait=300000", "[]", closing));
  // Pauses of 2, 4, 8, 16, 32, 64, 128 ms: nine at most in 300 ms.
  CHECK(running.core.nodes.fetches > 2);
  CHECK(running.core.nodes.fetches < 10);
}

TEST_CASE("the log of a token on a node is read after the node has answered") {
  Running running;
  running.core.nodes.on_fetch = [&](auto done) {
    running.core.after(40ms, [&, done] {
      running.core.memory.commit("abc", 100);
      done(Result<void>{});
    });
  };
  CHECK(has(running.ask(get("/api/nodes/2/log/abc?code=100", closing)), R"("message":"Logs found","token":"abc")"));
}

TEST_CASE("sync_wait limits the wait for a node that does not answer") {
  Running running;
  std::function<void(Result<void>)> kept;
  running.core.nodes.on_fetch = [&](auto done) { kept = done; };
  const auto begin = std::chrono::steady_clock::now();
  CHECK(has(running.ask(get("/api/nodes/2/log/abc?sync_wait=50000", closing)), "no_log"));
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(took >= 50ms);
  CHECK(took < 900ms * slowness());
  kept(Result<void>{});
}

TEST_CASE("no node is asked for the log of a token of this one") {
  Running running;
  running.core.memory.commit("abc", 2);
  CHECK(has(running.ask(get("/api/log/abc", closing)), "Logs found"));
  CHECK(has(running.ask(get("/api/nodes/1/log/abc", closing)), "Logs found"));
  CHECK(running.core.nodes.fetches == 0);
}

TEST_CASE("bodies of all connections together are bounded: more is told 503, what is small is served, and room comes back") {
  auto options = small();
  options.body_limit = 1 << 20;
  options.max_held_bytes = 300000;
  Running running(options);
  const auto whole = post("/api/core/action/command", '"' + std::string(900000, 'x') + '"', closing);
  auto slow = running.client();
  slow.send(whole.substr(0, 350000));
  running.core.run_for(200ms);
  auto second = running.client();
  second.start_sending(whole.substr(0, 350000));
  const auto refused = second.read_all();
  CHECK(refused.starts_with("HTTP/1.1 503 "));
  CHECK(has(refused, "Retry-After: 1\r\n"));
  CHECK(has(refused, "max_held_bytes"));
  CHECK(running.ask(post("/api/core/action/command", "[]", closing)).starts_with("HTTP/1.1 200 "));
  slow.close();
  running.core.run_for(100ms);
  CHECK(running.ask(post("/api/core/action/command", '"' + std::string(200000, 'x') + '"', closing)).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("answers that nobody reads are bounded for all connections together") {
  auto options = small();
  options.max_held_bytes = 30 << 20;
  Running running(options);
  running.core.memory.commit("long", 2, '"' + std::string(20 << 20, 'x') + '"');
  auto deaf = running.client();
  deaf.send(get("/api/log/long"));
  running.core.run_for(300ms);
  CHECK(running.ask(get("/api/log/long", closing)).starts_with("HTTP/1.1 503 "));
  CHECK(running.ask(get("/api/log/other", closing)).starts_with("HTTP/1.1 200 "));
  deaf.close();
  running.core.run_for(100ms);
  CHECK(running.ask(get("/api/log/long", closing)).starts_with("HTTP/1.1 200 "));
}
