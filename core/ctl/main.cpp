// gorgonectl: the administrator's tool. Exit codes: 0 done, 1 it failed, 2 the command line is wrong.

#include "core/ctl/content.hpp"
#include "core/ctl/in_place.hpp"
#include "core/ctl/keys.hpp"
#include "core/ctl/mcollective.hpp"
#include "core/ctl/one_step.hpp"
#include "core/ctl/trust.hpp"
#include "core/version.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <exception>
#include <string>

namespace {

constexpr int failed = 1;
constexpr int misused = 2;

int run(int argc, char** argv) {
  CLI::App program{"Tool of the gorgoned agent", "gorgonectl"};
  program.set_version_flag("--version", std::string{"gorgonectl "} + gorgone::version());
  program.require_subcommand(1);
  gorgone::Result<void> outcome;
  gorgone::ctl::add_keys(program, outcome);
  gorgone::ctl::add_trust(program, outcome);
  gorgone::ctl::add_content(program, outcome);
  gorgone::ctl::add_one_step(program, outcome);
  gorgone::ctl::add_in_place(program, outcome);
  gorgone::ctl::add_mcollective(program, outcome);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : misused;
  }
  if (outcome) return 0;
  fmt::print(stderr, "gorgonectl: {}\n", outcome.error().message);
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "gorgonectl: {}\n", error.what());
    return failed;
  }
}
