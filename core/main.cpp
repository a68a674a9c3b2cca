// gorgoned: the command line, as deployed daemons have it, and what it starts.

#include <malloc.h>
#include <CLI/CLI.hpp>

#include <iostream>

#include "core/daemon.hpp"
#include "core/log_file.hpp"
#include "core/version.hpp"

namespace {

constexpr const char* no_vault = "secrets in a vault cannot be read yet; whatever needs a secret:: value says so";

// What is large goes back to the system when it is freed: a node that once took a file of 30 MB must not stay that size. glibc would raise
// the limit by itself with each large block that is freed. Texts of a piece of a file (some 350 kB) are kept, though: fresh pages for each
// of them took half of the time of a copy.
void bound_kept_memory() {
  mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
  mallopt(M_ARENA_MAX, 2);
}

}  // namespace

int main(int argc, char** argv) {
  bound_kept_memory();
  CLI::App app{"The monitoring agent of central, remotes and pollers", "gorgoned"};
  gorgone::DaemonOptions options;
  std::string logfile, severity = "info", vault, document;
  bool check = false;
  app.add_option("--config", options.config, "configuration file")->capture_default_str();
  app.add_option("--logfile", logfile, "log file; standard error where it is not given");
  app.add_option("--severity", severity, "least severity that is logged")
      ->check(CLI::IsMember({"debug", "info", "notice", "warning", "error", "fatal"}))
      ->capture_default_str();
  app.add_option("--vault", vault, "configuration of the vault for secret:: values");
  app.add_option("--modules", options.modules_dir, "directory of the modules' shared objects");
  app.add_flag("--check", check, "say all that is wrong with the configuration, start nothing");
  app.add_option("--document-modules", document, "write a page on each module's options into a directory");
  app.set_version_flag("--version", std::string("gorgoned ") + gorgone::version());
  CLI11_PARSE(app, argc, argv);

  if (!document.empty()) return gorgone::document_modules(options, document);
  if (check && !vault.empty()) std::cerr << "warning: --vault: " << vault << ": " << no_vault << '\n';
  if (check) return gorgone::check_configuration(options);
  const auto opened = gorgone::open_log(logfile, *gorgone::severity_of(severity));
  if (!opened) {
    std::cerr << "gorgoned: " << opened.error().message << '\n';
    return 1;
  }
  if (!vault.empty()) gorgone::Log("core").error("--vault: {}: {}", vault, no_vault);
  return gorgone::run_daemon(options);
}
