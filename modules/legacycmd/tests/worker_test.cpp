// Centreon's own worker, played by a script.
#include "worker.hpp"

#include <support/loop_agent.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace gorgone;
using namespace gorgone::legacycmd;
namespace fs = std::filesystem;

namespace {

struct WorkerAgent : gorgone::test::LoopAgent {
  ConfigValue config = ConfigValue::from_json(
      json::object{{"tpapi", json::array{json::object{{"name", "clapi"}, {"username", "admins"}, {"password", "se-cret"}}}}}, "test");
  const ConfigValue& gorgone_config() const override { return config; }
};

}  // namespace

TEST_CASE("what the worker prints beyond the bound is told as dropped, cut at a whole character, and its password is masked") {
  std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
  const fs::path folder = ::mkdtemp(name.data());
  fs::create_directory(folder / "bin");
  std::ofstream(folder / "bin/centreon") << "#!/bin/sh\necho \"$@\"\nexec yes äääääääääääääääää | head -c 2000000\n";
  fs::permissions(folder / "bin/centreon", fs::perms(0755));
  WorkerAgent agent;
  Worker worker(agent, folder, "clapi", std::chrono::seconds(20));
  CHECK(agent.wait_for(worker.run("t")));
  const auto row = json::parse(agent.recorded().of("t").back().data).as_object();
  const auto& output = row.at("result").at("stdout").as_string();
  CHECK(output.starts_with("-u admins -p ******** -w -o CentreonWorker -a processQueue\nä"));
  CHECK(output.find("bytes dropped]") != output.npos);
  CHECK(output.find("\xc3\x83") == output.npos);  // read as Latin-1, for it was cut in the middle
  fs::remove_all(folder);
}
