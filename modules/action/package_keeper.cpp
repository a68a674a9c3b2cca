#include "package_keeper.hpp"

#include <gorgone/process.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

namespace gorgone::action {
namespace {

using namespace std::chrono_literals;

bool is_in_path(const std::string& program) {
  const auto* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

/// "deb" or "rpm", empty where there is neither.
std::string package_manager() {
  if (is_in_path("dpkg-query")) return "deb";
  return is_in_path("rpm") ? "rpm" : "";
}

std::string lower(std::string text) {
  for (auto& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

Result<Packages> read_file(const std::string& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return Error{fmt::format("cannot read the list of plugins '{}'", file)};
  auto value = parse_json(text.str());
  if (!value) return Error{fmt::format("the list of plugins '{}' is no JSON: {}", file, value.error().message)};
  auto packages = read_packages(*value);
  if (!packages) return Error{fmt::format("the list of plugins '{}': {}", file, packages.error().message)};
  return packages;
}

}  // namespace

PackageKeeper::PackageKeeper(Agent& agent) : agent_(agent), turn_(agent.loop(), 1, std::numeric_limits<std::size_t>::max()) {}

asio::awaitable<Result<void>> PackageKeeper::provide(Packages wanted) {
  if (wanted.empty()) co_return Result<void>{};
  auto manager = package_manager();
  if (manager.empty()) co_return Error{"cannot check plugins: neither dpkg-query nor rpm is in PATH"};
  if (manager == "deb") {
    Packages lowered;  // Debian knows no capitals in names
    for (auto& [name, version] : wanted) lowered[lower(name)] = version;
    wanted = std::move(lowered);
  }
  auto turn = co_await turn_.enter();
  auto installed = co_await ask(manager, wanted);
  if (!installed) co_return installed.error();
  auto missing = to_install(wanted, *installed);
  if (missing.empty()) co_return Result<void>{};
  agent_.log().info("installing plugins: {}", printable(fmt::format("{}", fmt::join(missing, " ")), 1000));
  co_return co_await install(manager, std::move(missing));
}

asio::awaitable<Result<void>> PackageKeeper::provide_file(std::string file) {
  auto read = [file] { return read_file(file); };
  auto packages = co_await agent_.blocking(std::move(read));
  if (!packages) co_return packages.error();
  co_return co_await provide(std::move(*packages));
}

asio::awaitable<Result<Packages>> PackageKeeper::ask(const std::string& manager, const Packages& wanted) {
  ProcessSpec spec;
  if (manager == "deb") {
    spec.argv = {"dpkg-query", "-W", "-f=${Package}\t${Version}\t${db:Status-Status}\n"};
  } else {
    spec.argv = {"rpm", "-q", "--queryformat", "%{NAME}\t%{VERSION}-%{RELEASE}\tinstalled\n"};
  }
  for (const auto& package : wanted) spec.argv.push_back(package.first);
  spec.timeout = 60s;
  spec.output_limit = 16 << 20;
  auto program = spec.argv[0];
  // Both tell of missing packages by their exit code too, so only the output counts.
  auto result = co_await run_process(agent_, std::move(spec));
  if (result.end != ProcessResult::End::exited) {
    auto why = result.end == ProcessResult::End::timed_out ? "no answer within 60 s" : result.output;
    co_return Error{fmt::format("cannot check plugins: {}: {}", program, why)};
  }
  co_return read_installed(result.output);
}

asio::awaitable<Result<void>> PackageKeeper::install(const std::string& manager, std::vector<std::string> missing) {
  ProcessSpec spec;
  spec.argv = {"sudo", "gorgone_install_plugins.pl", "--type=" + manager};
  for (auto& package : missing) spec.argv.push_back(std::move(package));
  spec.timeout = 300s;
  spec.output_limit = 16384;
  auto result = co_await run_process(agent_, std::move(spec));
  if (result.end == ProcessResult::End::exited && result.exit_code == 0) co_return Result<void>{};
  auto why = result.end == ProcessResult::End::timed_out ? std::string("not finished within 300 s") : to_utf8(result.output);
  co_return Error{fmt::format("cannot install plugins: gorgone_install_plugins.pl: exit code {}: {}", result.exit_code, why)};
}

}  // namespace gorgone::action
