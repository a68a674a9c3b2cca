#include "line.hpp"

#include <catch2/catch.hpp>

using namespace gorgone::legacycmd;

namespace {

std::string shown(const Unit& unit) {
  if (unit.line.command.empty()) return "nonsense " + unit.text;
  return unit.line.command + ' ' + unit.line.target + (unit.line.param.empty() ? "" : ' ' + unit.line.param);
}

std::vector<std::string> shown(const std::vector<Unit>& units) {
  std::vector<std::string> all;
  for (const auto& unit : units) all.push_back(shown(unit));
  return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a line is a command, a poller and what follows, colons and all") {
  const auto line = parse_line("EXTERNALCMD:12:[1] A;b:c:d");
  REQUIRE(line.has_value());
  CHECK(line->command == "EXTERNALCMD");
  CHECK(line->target == "12");
  CHECK(line->param == "[1] A;b:c:d");
  CHECK(parse_line("RELOAD:3\r")->target == "3");
  CHECK(parse_line("STARTWORKER")->command == "STARTWORKER");
}

TEST_CASE("lines that are none of Centreon's make no sense") {
  for (const char* text : {"", "RELOAD", "RELOAD:", "RELOAD:x", "RELOAD:3 4", "reload:3", "RELOADS:3", "EXTERNALCMD:3",
                           "EXTERNALCMD:3:", "-RELOAD:3", "RELOAD:123456789012345678901", "../x:3"})
    CHECK(!parse_line(text).has_value());
}

TEST_CASE("external commands of a poller go out together, up to the bulk's size") {
  const auto units = plan("EXTERNALCMD:3:a\nEXTERNALCMD:4:x\nEXTERNALCMD:3:b\nEXTERNALCMD:3:c\n", 0, BulkRules{2, true});
  CHECK(shown(units) == Texts{"EXTERNALCMD 3 a\nb", "EXTERNALCMD 4 x", "EXTERNALCMD 3 c"});
  CHECK(units[0].places == std::vector<std::uint64_t>{0, 32});
}

TEST_CASE("another command to the same poller goes behind the external commands before it") {
  const std::string text = "EXTERNALCMD:3:a\nEXTERNALCMD:4:x\nRELOAD:3\nEXTERNALCMD:3:b\n";
  CHECK(shown(plan(text, 0, BulkRules{50, true})) == Texts{"EXTERNALCMD 3 a", "RELOAD 3", "EXTERNALCMD 4 x", "EXTERNALCMD 3 b"});
  CHECK(shown(plan(text, 0, BulkRules{50, false})) == Texts{"RELOAD 3", "EXTERNALCMD 3 a\nb", "EXTERNALCMD 4 x"});
}

TEST_CASE("places are those of the file, and a line needs no line break at the end") {
  const auto units = plan("\n\nRELOAD:3\nDANCE", 1000, BulkRules{});
  REQUIRE(shown(units) == Texts{"RELOAD 3", "nonsense DANCE"});
  CHECK(units[0].places.front() == 1002);
  CHECK(units[1].places.front() == 1011);
}

TEST_CASE("lines that were marked give the same units, which are done") {
  std::string text = "EXTERNALCMD:3:a\nRELOADBROKER:3\nEXTERNALCMD:3:b\nEXTERNALCMD:3:c\nDANCE\nSTOP:3\nSTARTWORKER:1\n";
  const auto before = plan(text, 0, BulkRules{2, true});
  for (const std::size_t place :
       {std::size_t{0}, text.find("RELOADB"), text.find("EXTERNALCMD:3:c"), text.find("DANCE"), text.find("STOP"), text.find("STARTW")})
    text[place] = '-';
  auto after = plan(text, 0, BulkRules{2, true});
  // What made no sense still makes none, and is not told again.
  REQUIRE(after.size() + 1 == before.size());
  Texts done;
  for (const auto& unit : after)
    if (unit.is_done) done.push_back(shown(unit));
  CHECK(done == Texts{"EXTERNALCMD 3 a", "RELOADBROKER 3", "EXTERNALCMD 3 b\nc", "STOP 3", "STARTWORKER 1"});
}

TEST_CASE("lines that another daemon had marked are left out of their bulks") {
  const std::string text = "-XTERNALCMD:3:a\nEXTERNALCMD:3:b\n-ELOAD:3\n";
  const auto skipped = marked_lines(text, 100);
  CHECK(skipped == std::set<std::uint64_t>{100, 132});
  const auto units = plan(text, 100, BulkRules{}, skipped);
  REQUIRE(shown(units) == Texts{"EXTERNALCMD 3 b"});
  CHECK(!units[0].is_done);
}

TEST_CASE("a bulk of long lines is cut before it grows too large") {
  std::string text;
  for (int number = 0; number < 20; ++number) text += "EXTERNALCMD:3:" + std::string(70000, 'x') + '\n';
  const auto units = plan(text, 0, BulkRules{});
  CHECK(units.size() == 10);
  for (const auto& unit : units) CHECK(unit.line.param.size() < 200000);
}
