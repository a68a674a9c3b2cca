#pragma once
// A CommandRunner on a test agent, and its rows.

#include "command_runner.hpp"

#include <support/loop_agent.hpp>

#include <catch2/catch.hpp>

namespace gorgone::action::test {

struct Row {
  int code;
  json::object data;
  bool is_instant;
  std::string message() const { return std::string(data.at("message").as_string()); }
};

inline std::vector<Row> rows_of(const gorgone::test::RecordingJournal& journal, const std::string& token) {
  std::vector<Row> rows;
  for (const auto& row : journal.of(token)) rows.push_back({row.code, json::parse(row.data).as_object(), row.instant});
  return rows;
}

inline std::vector<int> codes(const std::vector<Row>& rows) {
  std::vector<int> codes;
  for (const auto& row : rows) codes.push_back(row.code);
  return codes;
}

inline Message message(std::string action, std::string data, std::string token = "t") {
  Message made;
  made.action = std::move(action);
  made.token = std::move(token);
  made.data = Payload(std::move(data));
  return made;
}

struct RunnerFixture {
  Options options;
  gorgone::test::LoopAgent agent;
  std::optional<CommandRunner> runner;

  CommandRunner& started() {
    if (!runner) runner.emplace(agent, options);
    return *runner;
  }
  std::vector<Row> command(std::string data) {
    agent.spawn(started().run_commands(message("COMMAND", std::move(data))));
    agent.run();
    return rows_of(agent.recorded(), "t");
  }
  std::vector<Row> engine(std::string data) {
    agent.spawn(started().run_engine(message("ACTIONENGINE", std::move(data))));
    agent.run();
    return rows_of(agent.recorded(), "t");
  }
  ~RunnerFixture() { agent.cancel_all(); }
};

}  // namespace gorgone::action::test
