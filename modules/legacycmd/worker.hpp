#pragma once
// Centreon's own worker, `centreon -u … -p … -w -o CentreonWorker -a processQueue`. It is run here and not by a COMMAND, so that the
// password goes from the configuration to the program and passes no message, row or log. On the loop.

#include <gorgone/agent.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace gorgone::legacycmd {

class Worker {
 public:
  /// `entry` is the name of the entry of `tpapi` that holds user name and password.
  Worker(Agent& agent, const std::string& centreon_dir, const std::string& entry, std::chrono::seconds timeout);

  /// Runs it and writes the rows of a command under `token`, without a last one; false where it could not be run to its end.
  asio::awaitable<bool> run(std::string token);

 private:
  std::string masked(std::string text) const;

  Agent& agent_;
  std::string entry_, user_, password_;
  std::vector<std::string> argv_;
  std::chrono::seconds timeout_;
};

}  // namespace gorgone::legacycmd
