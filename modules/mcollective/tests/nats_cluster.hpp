#pragma once
// A cluster of real nats-servers: tests/system/nats.py.

#include <string>

#include "tests/scripted_server.hpp"

namespace gorgone::mcollective::test {

class NatsCluster {
 public:
  explicit NatsCluster(int servers) : server_("nats.py", std::to_string(servers)) {
    for (const auto& url : server_.about().at("urls").as_array()) urls_ += (urls_.empty() ? "" : ", ") + std::string(url.as_string());
  }

  /// "kill 0", "start 0", "stop", "start", "freeze 1", "thaw 1", "ask SUBJECT JSON".
  json::value tell(const std::string& line) { return server_.tell(line); }
  /// Messages in a stream; -1 where there is none.
  int messages(const std::string& stream) {
    const auto answer = tell("ask $JS.API.STREAM.INFO." + stream);
    const auto* state = member(answer, "state");
    return state ? static_cast<int>(integer_of(member(*state, "messages")).value_or(-1)) : -1;
  }
  /// The option `backbone` and what goes with it.
  std::string yaml(const std::string& prefix) const { return "backbone: [" + urls_ + "]\nbackbone_prefix: " + prefix + "\n"; }
  void keep() { server_.keep(); }

 private:
  gorgone::test::ScriptedServer server_;
  std::string urls_;
};

}  // namespace gorgone::mcollective::test
