// gorgoned: the command line, as deployed daemons have it, and what it starts.

#include <malloc.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <string>

#include "core/daemon.hpp"
#include "core/log_file.hpp"
#include "core/version.hpp"

namespace {

const std::map<std::string, std::string> deployed_levels{{"none", "fatal"}, {"0", "fatal"},  {"2", "fatal"}, {"3", "error"},
                                                         {"4", "warning"},  {"5", "notice"}, {"6", "info"},  {"7", "debug"}};

constexpr const char* no_vault = "secrets in a vault cannot be read yet; whatever needs a secret:: value says so";

// The levels that deployed daemons take besides, in capitals too; what is none at all is told by the check after it.
std::string level_of(std::string text) {
  text = CLI::detail::to_lower(text);
  const auto level = deployed_levels.find(text);
  return level == deployed_levels.end() ? text : level->second;
}

// Deployed daemons of 26.x, as they run in containers, take parts of the configuration from the environment.
std::string not_followed() {
  std::string names;
  for (auto** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable, name = text.substr(0, text.find('='));
    const bool is_short = name == "GORGONE_UID" || name == "GORGONE_TOKEN" || name == "CENTRAL_HOST" || name == "CENTRAL_PORT";
    if (is_short || name.starts_with("GORGONE__")) names += (names.empty() ? "" : ", ") + std::string(name);
  }
  if (names.empty()) return {};
  return "set in the environment and not followed: " + names + "; expected these values in the configuration's files";
}

// What is large goes back to the system when it is freed: a node that once took a file of 30 MB must not stay that size. glibc would raise
// the limit by itself with each large block that is freed. Texts of a piece of a file (some 350 kB) are kept, though: fresh pages for each
// of them took half of the time of a copy.
void bound_kept_memory() {
  mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
  mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
  mallopt(M_ARENA_MAX, 2);
}

}  // namespace

int main(int argc, char** argv) {
  bound_kept_memory();
  CLI::App app{"The monitoring agent of central, remotes and pollers", "gorgoned"};
  gorgone::DaemonOptions options;
  std::string logfile, severity = "info", vault, document;
  bool check = false;
  app.add_option("--config", options.config, "configuration file")->envname("GORGONE_CONFIG")->capture_default_str();
  app.add_option("--logfile", logfile, "log file; standard error where it is not given")->envname("GORGONE_LOG_FILE");
  app.add_option("--severity", severity, "least severity that is logged")
      ->check(CLI::IsMember({"debug", "info", "notice", "warning", "error", "fatal"}))
      ->transform(level_of)
      ->envname("GORGONE_LOG_LEVEL")
      ->capture_default_str();
  app.add_option("--vault", vault, "configuration of the vault for secret:: values")->envname("GORGONE_VAULT_FILE");
  app.add_flag("--flushoutput")->description("without effect: each line is written at once");
  app.add_option("--modules", options.modules_dir, "directory of the modules' shared objects");
  app.add_flag("--check", check, "say all that is wrong with the configuration, start nothing");
  app.add_option("--document-modules", document, "write a page on each module's options into a directory");
  app.set_version_flag("--version", std::string("gorgoned ") + gorgone::version());
  CLI11_PARSE(app, argc, argv);

  if (!document.empty()) return gorgone::document_modules(options, document);
  const auto ignored = not_followed();
  if (check && !vault.empty()) std::cerr << "warning: --vault: " << vault << ": " << no_vault << '\n';
  if (check && !ignored.empty()) std::cerr << "warning: " << ignored << '\n';
  if (check) return gorgone::check_configuration(options);
  const auto opened = gorgone::open_log(logfile, *gorgone::severity_of(severity));
  if (!opened) {
    std::cerr << "gorgoned: " << opened.error().message << '\n';
    return 1;
  }
  if (!vault.empty()) gorgone::Log("core").error("--vault: {}: {}", vault, no_vault);
  if (!ignored.empty()) gorgone::Log("core").warning("{}", ignored);
  return gorgone::run_daemon(options);
}
