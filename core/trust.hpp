#pragma once
// The keys of servers that this node dials: which is pinned and which was refused for it. Read and changed in the database beside a
// running daemon, which looks there at each handshake. Any thread.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <cstdint>
#include <string>

namespace gorgone {

struct RefusedKey {
  std::string target;  ///< "tcp://address:port", or "wss://ID" for the secret of a node that connects by WebSocket
  std::string node;    ///< its id, empty where it is none of the proxy's
  std::string pinned;  ///< thumbprint, empty where none is
  std::string offered;
  std::int64_t seen = 0;  ///< seconds since 1970
};

/// The key that was refused for a node's id or for a target; an Error where there is none.
GORGONE_API Result<RefusedKey> refused_key(const std::string& config_file, const std::string& node_or_target);
/// Pins it in place of the old one.
GORGONE_API Result<void> trust_refused_key(const std::string& config_file, const RefusedKey& key);

}  // namespace gorgone
