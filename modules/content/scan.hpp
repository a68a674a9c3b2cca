#pragma once
// A tree as it is on this machine, with what is known of it from the last time, which is then known for the next one. On the loop; the
// disk is read on the pool, in slices.

#include <gorgone/agent.hpp>

#include <functional>
#include <string>
#include <vector>

#include "options.hpp"
#include "scanner.hpp"

namespace gorgone::content {

struct Scan {
  std::string root;  ///< with links resolved
  std::vector<Found> found;
};

/// `goes_on` is asked between slices; where it says no the Error has code "ended". `is_source` as for Scanner. What could not be kept
/// for the next time is a warning in the log.
asio::awaitable<Result<Scan>> scan(Agent& agent, const Options& options, std::string path, bool is_source, std::function<bool()> goes_on);

}  // namespace gorgone::content
