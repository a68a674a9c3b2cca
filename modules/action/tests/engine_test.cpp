// ACTIONENGINE and pkg_install, with programs of the test's own in PATH.
#include "runner_fixture.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace gorgone;
using namespace gorgone::action::test;

namespace {

/// A folder of fake programs at the front of PATH for as long as it lives.
struct EngineFixture : RunnerFixture {
  std::filesystem::path folder;
  std::string old_path = std::getenv("PATH");

  EngineFixture() {
    std::string name = std::filesystem::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    ::setenv("PATH", (folder.string() + ":" + old_path).c_str(), 1);
    program(
        "dpkg-query",
        "printf 'present\\t20230102-1\\tinstalled\\nold\\t20200101-1\\tinstalled\\n'; echo 'no packages found matching new' >&2; exit 1");
    program("sudo", "echo \"$@\" >> " + (folder / "calls").string());
  }
  ~EngineFixture() {
    ::setenv("PATH", old_path.c_str(), 1);
    std::filesystem::remove_all(folder);
  }

  void program(const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << "#!/bin/sh\n" << text << "\n";
    ::chmod((folder / name).c_str(), 0755);
  }
  std::string calls() const {
    std::stringstream text;
    text << std::ifstream(folder / "calls").rdbuf();
    return text.str();
  }
  std::string with_plugins(const std::string& plugins) {
    std::ofstream(folder / "plugins.json") << plugins;
    return R"({"content":{"command":"echo restarted","plugins":")" + (folder / "plugins.json").string() + R"("}})";
  }
};

}  // namespace

TEST_CASE_METHOD(EngineFixture, "an engine action installs what is missing or too old, then runs its command") {
  auto rows = engine(with_plugins(R"({"present":"20230101","OLD":"20220101","new":{"version":"20240101"}})"));
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 100, 2});
  CHECK(rows[2].data.at("result").at("stdout") == "restarted");
  CHECK(calls() == "gorgone_install_plugins.pl --type=deb new=20240101 old=20220101\n");
}

TEST_CASE_METHOD(EngineFixture, "nothing is installed where all plugins are recent enough") {
  CHECK(codes(engine(with_plugins(R"({"present":"20230102"})"))) == std::vector<int>{0, 0, 100, 2});
  CHECK(calls().empty());
}

TEST_CASE_METHOD(EngineFixture, "plugins that cannot be installed do not keep the command from running") {
  program("sudo", "echo no repository; exit 4");
  auto rows = engine(with_plugins(R"({"new":"1"})"));
  REQUIRE(codes(rows) == std::vector<int>{0, 4, 0, 100, 2});
  CHECK(rows[1].message() == "cannot install plugins: gorgone_install_plugins.pl: exit code 4: no repository\n");
}

TEST_CASE_METHOD(EngineFixture, "with paranoid_plugins they do") {
  options.is_paranoid = true;
  program("sudo", "echo no repository; exit 4");
  auto rows = engine(with_plugins(R"({"new":"1"})"));
  REQUIRE(codes(rows) == std::vector<int>{0, 1, 1});
  CHECK(rows[1].message() == "command execution issue");
  CHECK(rows[2].message() == "action engine has finished with errors");
}

TEST_CASE_METHOD(EngineFixture, "with paranoid_plugins a list of plugins that is missing or broken blocks, too") {
  options.is_paranoid = true;
  CHECK(codes(engine(R"({"content":{"command":"echo x","plugins":"/nonexistent/plugins.json"}})")) == std::vector<int>{0, 1, 1});
  agent.recorded().rows.clear();
  CHECK(codes(engine(with_plugins("[1,"))) == std::vector<int>{0, 1, 1});
}

TEST_CASE_METHOD(EngineFixture, "an engine action without plugins just runs, and a timeout ends it with an error") {
  CHECK(codes(engine(R"({"content":{"command":"echo x"}})")) == std::vector<int>{0, 0, 100, 2});
  agent.recorded().rows.clear();
  CHECK(codes(engine(R"({"content":{"command":"sleep 9","timeout":0.2}})")) == std::vector<int>{0, 0, 1, 1});
}

TEST_CASE_METHOD(EngineFixture, "an engine action that names no command or is off the allow-list is refused") {
  CHECK(engine(R"({"content":[]})").at(0).message() == "expected hash, found 'ARRAY'");
  agent.recorded().rows.clear();
  CHECK(engine(R"({"content":{"plugins":""}})").at(0).message() == "need command argument");
  agent.recorded().rows.clear();
  auto whitelist = action::Whitelist::of({"^true$"});
  REQUIRE(whitelist.has_value());
  options.whitelist = std::move(*whitelist);
  auto rows = engine(R"({"content":{"command":"id"}})");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == "command not allowed (whitelist) : id");
}

TEST_CASE_METHOD(EngineFixture, "a command's pkg_install is provided before it runs") {
  auto rows = command(R"({"content":[{"command":"echo x","metadata":{"pkg_install":{"new":"20240101"}}}]})");
  REQUIRE(codes(rows) == std::vector<int>{0, 0, 100, 2});
  CHECK(calls() == "gorgone_install_plugins.pl --type=deb new=20240101\n");
}
