#pragma once
// Sees to it that packages are installed: asks dpkg or rpm, installs what is missing. Lives on the loop.

#include <gorgone/agent.hpp>

#include "gate.hpp"
#include "packages.hpp"

namespace gorgone::action {

class PackageKeeper {
 public:
  explicit PackageKeeper(Agent& agent);

  /// Installs what is missing or too old of `wanted`. One call at a time does its work, the others wait: package
  /// managers lock one another out.
  asio::awaitable<Result<void>> provide(Packages wanted);
  /// The same for the packages of a JSON file, as the configuration export of a poller holds it.
  asio::awaitable<Result<void>> provide_file(std::string file);

 private:
  asio::awaitable<Result<Packages>> ask(const std::string& manager, const Packages& wanted);
  asio::awaitable<Result<void>> install(const std::string& manager, std::vector<std::string> missing);

  Agent& agent_;
  Gate turn_;
};

}  // namespace gorgone::action
