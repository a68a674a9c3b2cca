// The module as the daemon has it: requests come one by one, and it is its own business what it remembers of a pipe between them.

#include <gorgone/json.hpp>
#include <gorgone/module.hpp>

#include "pipe_fixture.hpp"
#include "progress_file.hpp"

extern "C" const gorgone::ModuleInfo* gorgone_module_info();

using namespace gorgone;
using gorgone::engine::ProgressFile;
using namespace gorgone::engine::test;

namespace {

struct EngineFixture : PipeFixture {
  std::unique_ptr<Module> engine;

  EngineFixture() {
    const auto* info = gorgone_module_info();
    const json::value options(json::object{{"command_file", path}, {"reader_timeout", 1}, {"write_timeout", 1}});
    Settings settings(std::make_shared<const Schema>(info->schema),
                      std::make_shared<const ConfigValue>(ConfigValue::from_json(options, "test")));
    // Not started but by what needs its file of progress, which is where the daemon's database is.
    engine = info->create(agent, std::move(settings));
  }
  void start_engine() {
    const json::value core(json::object{{"gorgonecore", {{"gorgone_db_name", "dbname=" + (folder / "history.sdb").string()}}}});
    agent.configure(ConfigValue::from_json(core, "test"));
    REQUIRE(agent.wait_for(engine->start()).has_value());
  }
  /// What a daemon that was killed has left: so many lines of a request written, those up to another one under way.
  void leave_progress(const std::string& delivery, std::size_t written, std::size_t about_to) const {
    auto progress = ProgressFile::open(folder / "engine.progress");
    REQUIRE(progress.has_value());
    auto* slot = (*progress)->take(delivery);
    slot->written(written);
    slot->about_to(about_to);
  }

  /// Handles one request to its end, and gives its last row.
  NewRow request(const std::string& token, const std::string& command) { return requested(token, {command}).back(); }
  /// The same of several commands, and all rows.
  std::vector<NewRow> requested(const std::string& token, const std::vector<std::string>& commands, const std::string& delivery = {}) {
    begin(token, commands, delivery);
    agent.run();
    const auto rows = agent.recorded().of(token);
    REQUIRE(!rows.empty());
    return rows;
  }
  void begin(const std::string& token, const std::vector<std::string>& commands, const std::string& delivery = {}) {
    const json::object content{{"commands", json::array(commands.begin(), commands.end())}};
    agent.spawn(
        engine->handle(Message{"ENGINECOMMAND", token, {}, Payload(json::value(json::object{{"content", content}})), {}, delivery}));
  }
};

/// Code, message, and where the command was not submitted what was written of it: "1 issue: 1 of 3, not 2-3".
std::string shown(const NewRow& row) {
  const auto data = json::parse(row.data).as_object();
  const std::string message(data.at("message").as_string());
  if (message != "command execution issue") return fmt::format("{} {}", row.code, message);
  auto text = fmt::format("{} issue: {} of {}", row.code, integer_of(&data.at("written")).value(), integer_of(&data.at("lines")).value());
  for (const auto* member : {"in_doubt", "in_part", "not_written"})
    if (data.contains(member)) text += fmt::format(", {} {}", member, std::string_view(data.at(member).as_string()));
  CHECK(data.at("result").at("exit_code") == -1);
  return text;
}
std::vector<std::string> shown(const std::vector<NewRow>& rows) {
  std::vector<std::string> texts;
  for (const auto& row : rows) texts.push_back(shown(row));
  return texts;
}
std::string reason(const NewRow& row) { return std::string(json::parse(row.data).at("result").at("stdout").as_string()); }
std::string command(const NewRow& row) { return std::string(json::parse(row.data).at("command").as_string()); }

const std::string started = "0 commands processing has started", submitted = "2 command has been submitted";

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

TEST_CASE_METHOD(EngineFixture, "each command that a missing reader kept from the engine has a row that says so") {
  const auto rows = requested("t", {"[1] A;host", "[2] B;host\n[3] C;host"});
  const auto why = "command file '" + path + "' has no reader: no engine has had it open for 1 s";
  CHECK(shown(rows) == std::vector<std::string>{started, "1 issue: 0 of 1, not_written 1", "1 issue: 0 of 2, not_written 1-2",
                                                "1 " + why + " (0 of 3 lines were written)"});
  REQUIRE(rows.size() == 4);
  CHECK(command(rows[1]) == "[1] A;host");
  CHECK(command(rows[2]) == "[2] B;host\n[3] C;host");
  CHECK(reason(rows[1]) == why);
  CHECK(reason(rows[2]) == why);
}

TEST_CASE_METHOD(EngineFixture, "of a pipe that stays full each command says which of its lines were written") {
  Reader reader(path);
  // 64 kB are in a pipe: sixteen of these lines, each of which is a write of its own.
  const std::string line(4000, 'x');
  const auto three = line + "\n" + line + "\n" + line;
  const auto rows = requested("t", {three, three, three, three, three, three, three});
  const auto all = shown(rows);
  REQUIRE(all.size() == 9);
  for (std::size_t index = 1; index <= 5; ++index) CHECK(all[index] == submitted);
  CHECK(all[6] == "1 issue: 1 of 3, not_written 2-3");
  CHECK(all[7] == "1 issue: 0 of 3, not_written 1-3");
  CHECK(all[8] == "1 command file '" + path + "' was full for 1 s (16 of 21 lines were written)");
  CHECK(reader.read().size() == 16 * (line.size() + 1));
}

TEST_CASE_METHOD(EngineFixture, "a line that was cut off is told apart from those of which nothing was written") {
  Reader reader(path);
  const auto rows = requested("t", {"first", "a\n" + std::string(200000, 'x') + "\nb\nc", "last"});
  const auto all = shown(rows);
  REQUIRE(all.size() == 5);
  CHECK(all[1] == submitted);
  CHECK(all[2] == "1 issue: 1 of 4, in_part 2, not_written 3-4");
  CHECK(all[3] == "1 issue: 0 of 1, not_written 1");
  CHECK(reader.read().starts_with("first\na\nxxx"));
}

TEST_CASE_METHOD(EngineFixture, "a reader that goes away in the middle of a line leaves each command with its outcome") {
  std::optional<Reader> reader(path);
  begin("t", {"first", std::string(200000, 'x'), "last"});
  agent.run_for(std::chrono::milliseconds(200));
  reader.reset();
  agent.run();
  const auto rows = agent.recorded().of("t");
  CHECK(shown(rows) == std::vector<std::string>{
                           started, submitted, "1 issue: 0 of 1, in_part 1", "1 issue: 0 of 1, not_written 1",
                           "1 the reader of command file '" + path + "' went away in the middle of a line (1 of 3 lines were written)"});
}

TEST_CASE_METHOD(EngineFixture, "commands that a killed daemon was writing are told apart from those before and behind them") {
  leave_progress("delivery", 1, 4);
  start_engine();
  Reader reader(path);
  const auto rows = requested("t", {"[1] A", "[2] B\n[3] C", "[4] D\n[5] E", "[6] F"}, "delivery");
  CHECK(reader.read() == "[5] E\n[6] F\n");
  const std::string last =
      "1 the daemon was ended while it wrote lines 2 to 4: they may have been written or not, and are not written again (3 of 6 lines were "
      "written)";
  CHECK(shown(rows) ==
        std::vector<std::string>{started, submitted, "1 issue: 0 of 2, in_doubt 1-2", "1 issue: 1 of 2, in_doubt 1", submitted, last});
  REQUIRE(rows.size() == 6);
  CHECK(reason(rows[2]) == "the daemon was ended while it wrote this command");
}

TEST_CASE_METHOD(EngineFixture, "what is in doubt since one kill is in doubt after the next one too") {
  {
    auto progress = ProgressFile::open(folder / "engine.progress");
    REQUIRE(progress.has_value());
    auto* slot = (*progress)->take("delivery");
    slot->in_doubt(1, 3);
    slot->about_to(4);
    slot->written(4);
    // A daemon that goes on and is killed in the middle of its next lines.
    auto* other = (*progress)->take("other");
    other->in_doubt(0, 1);
    other->written(2);
    other->about_to(3);
  }
  start_engine();
  Reader reader(path);
  auto all = shown(requested("t", {"[1] A", "[2] B", "[3] C", "[4] D", "[5] E"}, "delivery"));
  REQUIRE(all.size() == 7);
  CHECK(std::vector<std::string>(all.begin() + 1, all.end() - 1) ==
        std::vector<std::string>{submitted, "1 issue: 0 of 1, in_doubt 1", "1 issue: 0 of 1, in_doubt 1", submitted, submitted});
  CHECK(all.back().find("the daemon was ended while it wrote lines 2 to 3") != std::string::npos);
  CHECK(reader.read() == "[5] E\n");

  all = shown(requested("o", {"[1] A\n[2] B", "[3] C", "[4] D"}, "other"));
  REQUIRE(all.size() == 5);
  CHECK(std::vector<std::string>(all.begin() + 1, all.end() - 1) ==
        std::vector<std::string>{"1 issue: 0 of 2, in_doubt 1-2", "1 issue: 0 of 1, in_doubt 1", submitted});
  CHECK(reader.read() == "[4] D\n");
  auto progress = ProgressFile::open(folder / "engine.progress");
  const auto* slot = (*progress)->take("other");
  CHECK(slot->doubt_begin() == 0);
  CHECK(slot->doubt_end() == 3);
  CHECK(slot->written() == 4);
}

TEST_CASE_METHOD(EngineFixture, "what was written before a kill is told as written though no engine reads any more after it") {
  leave_progress("delivery", 2, 2);
  leave_progress("other", 1, 3);
  leave_progress("all", 2, 2);
  start_engine();
  CHECK(shown(requested("a", {"[1] A", "[2] B"}, "all")) ==
        std::vector<std::string>{started, submitted, submitted, "2 commands processing has finished successfully"});
  auto rows = requested("t", {"[1] A", "[2] B\n[3] C", "[4] D"}, "delivery");
  auto all = shown(rows);
  REQUIRE(all.size() == 5);
  CHECK(all[1] == submitted);
  CHECK(all[2] == "1 issue: 1 of 2, not_written 2");
  CHECK(all[3] == "1 issue: 0 of 1, not_written 1");
  CHECK(all[4].find("has no reader") != std::string::npos);
  CHECK(all[4].ends_with("(2 of 4 lines were written)"));

  all = shown(requested("o", {"[1] A", "[2] B\n[3] C\n[4] D"}, "other"));
  REQUIRE(all.size() == 4);
  CHECK(all[1] == submitted);
  CHECK(all[2] == "1 issue: 0 of 3, in_doubt 1-2, not_written 3");
  CHECK(all[3].find("the daemon was ended while it wrote lines 2 to 3") != std::string::npos);
  CHECK(all[3].ends_with("(1 of 4 lines were written)"));
  // And when it is taken up once more.
  Reader reader(path);
  all = shown(requested("again", {"[1] A", "[2] B\n[3] C\n[4] D"}, "other"));
  REQUIRE(all.size() == 4);
  CHECK(all[2] == "1 issue: 1 of 3, in_doubt 1-2");
  CHECK(reader.read() == "[4] D\n");
}
