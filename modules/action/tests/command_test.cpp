// COMMAND: its rows, word for word as deployed daemons write them.
#include "execution.hpp"
#include "runner_fixture.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

using namespace gorgone;
using namespace gorgone::action::test;
using namespace std::chrono_literals;

TEST_CASE_METHOD(RunnerFixture, "a command gives the rows of its start, its result and its end") {
  auto rows = command(R"({"content":[{"command":"echo a; echo b >&2; exit 7","metadata":{"a":1}}],"parameters":{}})");
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 100, 2});
  CHECK(
      rows[0].data ==
      json::parse(
          R"({"message":"commands processing has started","request_content":[{"command":"echo a; echo b >&2; exit 7","metadata":{"a":1}}]})")
          .as_object());
  CHECK(rows[1].data ==
        json::parse(R"({"message":"command has started","command":"echo a; echo b >&2; exit 7","metadata":{"a":1}})").as_object());
  CHECK(rows[2].message() == "command has finished successfully");
  CHECK(rows[2].data.at("result") == json::parse(R"({"exit_code":7,"stdout":"a\nb"})"));
  CHECK(rows[2].data.at("metadata") == json::parse(R"({"a":1})"));
  auto& metrics = rows[2].data.at("metrics").as_object();
  CHECK(metrics.at("duration").as_int64() == metrics.at("end").as_int64() - metrics.at("start").as_int64());
  CHECK(metrics.at("start").as_int64() > 1'700'000'000);
  CHECK(rows[3].data == json::parse(R"({"message":"commands processing has finished successfully"})").as_object());
}

TEST_CASE_METHOD(RunnerFixture, "absent metadata is null in the rows") {
  auto rows = command(R"({"content":[{"command":"true"}]})");
  REQUIRE(rows.size() == 4);
  CHECK(rows[1].data.at("metadata").is_null());
  CHECK(rows[2].data.at("metadata").is_null());
}

TEST_CASE_METHOD(RunnerFixture, "the commands of one request run in turn, whatever their exit codes") {
  auto rows = command(R"({"content":[{"command":"sleep 0.2; echo 1; false"},{"command":"no_such_cmd_x"},{"command":"echo 3"}]})");
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 100, 0, 100, 0, 100, 2});
  CHECK(rows[2].data.at("result").at("stdout") == "1");
  CHECK(rows[4].data.at("result").at("exit_code") == 127);
  CHECK(rows[6].data.at("result").at("stdout") == "3");
}

TEST_CASE_METHOD(RunnerFixture, "a timeout is an execution issue and the request ends with errors") {
  auto rows = command(R"({"content":[{"command":"echo before; sleep 9","timeout":"1"},{"command":"echo next"}]})");
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 1, 0, 100, 1});
  CHECK(rows[2].message() == "command execution issue");
  CHECK(rows[2].data.at("result") == json::parse(R"({"exit_code":-1,"stdout":"Command too long to execute (timeout)..."})"));
  CHECK(rows[2].data.at("metrics").at("duration").as_int64() >= 1);
  CHECK(rows[5].message() == "commands processing has finished with errors");
}

TEST_CASE_METHOD(RunnerFixture, "continue_on_error false stops at the first command that did not run to its end") {
  options.command_timeout = 1s;
  auto rows = command(
      R"({"content":[{"command":"false","continue_on_error":false},{"command":"sleep 9","continue_on_error":0},{"command":"echo never"}]})");
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 100, 0, 1, 1});
  CHECK(rows[5].message() == "commands processing has been interrupted because of error");
}

TEST_CASE_METHOD(RunnerFixture, "instant marks the result row and no other") {
  auto rows = command(R"({"instant":1,"content":[{"command":"echo inst"}]})");
  REQUIRE(rows.size() == 4);
  for (const auto& row : rows) CHECK(row.is_instant == (row.code == 100));
}

TEST_CASE_METHOD(RunnerFixture, "logging false writes no rows, and the command runs all the same") {
  std::string file = std::filesystem::temp_directory_path() / "gorgone-XXXXXX";
  ::close(::mkstemp(file.data()));
  ::unlink(file.c_str());
  CHECK(command(R"({"logging":false,"content":[{"command":"echo quiet > )" + file + R"("}]})").empty());
  CHECK(::access(file.c_str(), F_OK) == 0);
  ::unlink(file.c_str());
}

TEST_CASE_METHOD(RunnerFixture, "content that is no list is refused by its kind") {
  auto [data, found] = GENERATE(table<std::string, std::string>({{R"({"content":{"command":"x"}})", "HASH"},
                                                                 {R"({"content":null})", ""},
                                                                 {R"({})", ""},
                                                                 {R"("x")", ""},
                                                                 {R"({"content":"echo"})", "string"},
                                                                 {R"({"content":1})", "number"},
                                                                 {R"({"content":true})", "boolean"}}));
  auto rows = command(data);
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == "expected array, found '" + found + "'");
}

TEST_CASE_METHOD(RunnerFixture, "data that is no JSON is refused") {
  auto rows = command(R"({"content":)");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == "cannot decode json");
}

TEST_CASE_METHOD(RunnerFixture, "an empty, absent or unreadable command is refused with its place, and nothing is run") {
  auto [entry, text] = GENERATE(table<std::string, std::string>({
      {R"({"command":""})", "need command argument at array index '1'"},
      {R"({})", "need command argument at array index '1'"},
      {R"({"command":null})", "need command argument at array index '1'"},
      {R"("x")", "need command argument at array index '1'"},
      {R"({"command":"  ","no_shell_interpretation":1})", "need command argument at array index '1'"},
      {R"({"command":"a\u0000b"})", "a NUL character in the command at array index '1'"},
      {R"({"command":"echo 'x","no_shell_interpretation":true})",
       "cannot cut the command into words at array index '1': a quote (') is not closed"},
  }));
  auto rows = command(R"({"content":[{"command":"echo x"},)" + entry + "]}");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == text);
}

TEST_CASE_METHOD(RunnerFixture, "a command off the allow-list is refused, and nothing of its request is run") {
  auto whitelist = action::Whitelist::of({"^echo \\w+$"});
  REQUIRE(whitelist.has_value());
  options.whitelist = std::move(*whitelist);
  CHECK(codes(command(R"({"content":[{"command":"echo good"}]})")) == std::vector<int>{0, 0, 100, 2});
  agent.recorded().rows.clear();
  auto rows = command(R"({"content":[{"command":"echo good"},{"command":"echo good; id"}]})");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == "command not allowed (whitelist) at array index '1' : echo good; id");
}

TEST_CASE_METHOD(RunnerFixture, "without a shell the words are the program's, and a program that is not there gives 127") {
  auto rows = command(
      R"({"content":[{"command":"echo 'a  b' $HOME ; x","no_shell_interpretation":1},{"command":"no_such_cmd_x 1","no_shell_interpretation":1}]})");
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 100, 0, 100, 2});
  CHECK(rows[2].data.at("result").at("stdout") == "a  b $HOME ; x");
  CHECK(rows[4].data.at("result").at("exit_code") == 127);
  CHECK(rows[4].data.at("result").at("stdout") == "cannot start \"no_such_cmd_x\": No such file or directory");
}

TEST_CASE_METHOD(RunnerFixture, "output that is no UTF-8 is read as Latin-1") {
  auto rows = command(R"({"content":[{"command":"printf 'h\\351llo'"},{"command":"echo héllo"}]})");
  REQUIRE(rows.size() == 6);
  CHECK(rows[2].data.at("result").at("stdout") == "héllo");
  CHECK(rows[4].data.at("result").at("stdout") == "héllo");
}

TEST_CASE("output that was cut says how much is missing and ends on a whole character") {
  auto text = [](const char* output, std::size_t dropped) {
    return output_text(ProcessResult{ProcessResult::End::exited, 0, output, dropped});
  };
  CHECK(text("abc\n", 0) == "abc");
  CHECK(text("abc\n\n", 0) == "abc\n");
  CHECK(text("ab\xc3", 10) == "ab\n[output truncated: 11 bytes dropped]");
  CHECK(text("ab\xc3\xa9", 10) == "abé\n[output truncated: 10 bytes dropped]");
}

TEST_CASE_METHOD(RunnerFixture, "as many requests run at a time as the bound says, and what cannot wait is refused as busy") {
  options.concurrent_commands = 2;
  options.queued_commands = 1;
  started();
  for (const auto* token : {"a", "b", "c", "d"}) {
    agent.spawn(runner->run_commands(message("COMMAND", R"({"content":[{"command":"sleep 0.3"}]})", token)));
  }
  agent.run_for(150ms);
  CHECK(rows_of(agent.recorded(), "a").size() == 2);
  CHECK(rows_of(agent.recorded(), "b").size() == 2);
  CHECK(rows_of(agent.recorded(), "c").empty());
  auto refused = rows_of(agent.recorded(), "d");
  REQUIRE(codes(refused) == std::vector<int>{1});
  CHECK(refused[0].message() == "busy: 1 requests are waiting already (modules.action.max_queued_commands)");
  agent.run();
  CHECK(codes(rows_of(agent.recorded(), "c")) == std::vector<int>{0, 0, 100, 2});
}

TEST_CASE_METHOD(RunnerFixture, "what waits is bounded in bytes as well, and room comes back") {
  options.concurrent_commands = 1;
  options.queued_bytes = 1 << 20;
  started();
  const auto request = [this](const char* token, std::size_t bytes) {
    const auto text = R"({"content":[{"command":"sleep 0.3"}],"filler":")" + std::string(bytes, 'x') + "\"}";
    agent.spawn(runner->run_commands(message("COMMAND", text, token)));
  };
  request("runs", 2 << 20);
  request("a", 600'000);
  request("b", 400'000);
  request("c", 400'000);
  request("small", 10);
  for (int i = 0; i < 200 && rows_of(agent.recorded(), "c").empty(); ++i) agent.run_for(10ms);
  auto refused = rows_of(agent.recorded(), "c");
  REQUIRE(codes(refused) == std::vector<int>{1});
  CHECK(refused[0].message().starts_with("busy: requests of 1000"));
  CHECK(refused[0].message().ends_with(" bytes are waiting already (modules.action.max_queued_bytes)"));
  agent.run();
  for (const auto* token : {"runs", "a", "b", "small"}) CHECK(codes(rows_of(agent.recorded(), token)) == std::vector<int>{0, 0, 100, 2});
  request("runs again", 10);
  request("alone", 3 << 20);
  agent.run();
  CHECK(codes(rows_of(agent.recorded(), "alone")) == std::vector<int>{0, 0, 100, 2});
}

TEST_CASE_METHOD(RunnerFixture, "requests that the module's end cuts off get a last row, running or waiting") {
  options.concurrent_commands = 1;
  started();
  for (const auto* token : {"a", "b"})
    agent.spawn(runner->run_commands(message("COMMAND", R"({"content":[{"command":"sleep 30"}]})", token)));
  agent.run_for(100ms);
  agent.cancel_all();
  agent.run(3s);
  for (const auto* token : {"a", "b"}) {
    auto rows = rows_of(agent.recorded(), token);
    REQUIRE_FALSE(rows.empty());
    CHECK(rows.back().code == 1);
    CHECK(rows.back().message() == "commands processing has been interrupted: the action module stops");
  }
}
