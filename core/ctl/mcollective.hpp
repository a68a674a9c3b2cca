#pragma once
// gorgonectl mcollective: what a broker for MCollective knows of its clients, topics and queues, by the HTTP API of its daemon.

#include <gorgone/result.hpp>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Adds the subcommand `mcollective`; running it sets `outcome`.
void add_mcollective(CLI::App& program, Result<void>& outcome);

}  // namespace gorgone::ctl
