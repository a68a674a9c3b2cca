#include <gorgone/log.hpp>

#include <catch2/catch.hpp>

#include <unistd.h>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "core/log_file.hpp"

using namespace gorgone;

namespace {

// What standard error gets while `write` runs; the log of a program without --logfile goes there.
template <class F>
std::string logged(F write) {
  char name[] = "/tmp/gorgone-log-XXXXXX";
  const int file = mkstemp(name), before = dup(STDERR_FILENO);
  REQUIRE(file >= 0);
  flush_log();
  dup2(file, STDERR_FILENO);
  write();
  flush_log();
  dup2(before, STDERR_FILENO);
  close(before);
  close(file);
  std::stringstream text;
  text << std::ifstream(name).rdbuf();
  std::remove(name);
  return text.str();
}

}  // namespace

TEST_CASE("a line break or an escape in what is logged makes no line and moves no cursor") {
  const auto text = logged(
      [] { Log("proxy\n2026-01-01 00:00:00 - INFO - [x]").error("type={}", "a\n2026-01-01 00:00:00 - ERROR - [core] forged\x1b[2J\r"); });
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(text.find("\\x0a2026-01-01 00:00:00 - ERROR - [core] forged\\x1b[2J\\x0d\n") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("what is logged keeps its letters, and a line without end is cut between two of them") {
  CHECK(logged([] { Log("core").error("Zürich {}", "漢"); }).find("[core] Zürich 漢\n") != std::string::npos);
  std::string many;
  for (int i = 0; i < 20000; ++i) many += "ä";
  const auto text = logged([&] { Log("core").error("{}{}", "x", many); });
  CHECK(text.size() < 17000);
  CHECK(text.find("Ã") == std::string::npos);
  CHECK(text.find("… (40001 bytes)\n") != std::string::npos);
}
