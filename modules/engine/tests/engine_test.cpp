// The module as the daemon has it: requests come one by one, and it is its own business what it remembers of a pipe between them.

#include <gorgone/module.hpp>

#include "pipe_fixture.hpp"

extern "C" const gorgone::ModuleInfo* gorgone_module_info();

using namespace gorgone;
using namespace gorgone::engine::test;

namespace {

struct EngineFixture : PipeFixture {
  std::unique_ptr<Module> engine;

  EngineFixture() {
    const auto* info = gorgone_module_info();
    const json::value options(json::object{{"command_file", path}, {"reader_timeout", 1}, {"write_timeout", 1}});
    Settings settings(std::make_shared<const Schema>(info->schema),
                      std::make_shared<const ConfigValue>(ConfigValue::from_json(options, "test")));
    // Not started: it would open its file of progress where the daemon's database is.
    engine = info->create(agent, std::move(settings));
  }

  /// Handles one request to its end, and gives its last row.
  NewRow request(const std::string& token, const std::string& command) {
    const json::object content{{"commands", json::array{json::value(command)}}};
    agent.spawn(engine->handle(Message{"ENGINECOMMAND", token, {}, Payload(json::value(json::object{{"content", content}})), {}}));
    agent.run();
    const auto rows = agent.recorded().of(token);
    REQUIRE(!rows.empty());
    return rows.back();
  }
};

}  // namespace

TEST_CASE_METHOD(EngineFixture, "the next request after a line that was cut off begins behind a line break") {
  Reader reader(path);
  const auto torn = request("torn", std::string(200000, 'x'));
  CHECK(torn.code == code::failed);
  CHECK(torn.data.find("written in part") != std::string::npos);
  const auto part = reader.read();
  CHECK(part.size() < 200000);
  CHECK(part.find_first_not_of('x') == std::string::npos);
  CHECK(request("next", "[1] NEXT;host").code == code::finished);
  CHECK(reader.read() == "\n[1] NEXT;host\n");
  CHECK(request("after", "[2] AFTER;host").code == code::finished);
  CHECK(reader.read() == "[2] AFTER;host\n");
}
