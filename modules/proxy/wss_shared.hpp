#pragma once
// What all connections to the proxy's httpserver share: options, tokens, nodes, counts. On the loop.

#include <chrono>
#include <list>
#include <memory>
#include <set>
#include <string>

#include "centreon_tokens.hpp"
#include "wss_nodes.hpp"

namespace gorgone::proxy {

class WssSession;

struct WssShared {
  WssShared(Agent& agent_, WssOptions options_);
  /// False where there was a line about the same subject (an id, an address), or very many about others, in the last minute: what is
  /// tried again every few seconds does not fill the log.
  bool may_log(const std::string& subject);

  Agent& agent;
  const WssOptions options;
  TlsContext tls;  ///< empty: plain
  WssAccess access;
  CentreonTokens tokens;
  WssNodes nodes;
  std::list<std::weak_ptr<WebSocket>> sockets;
  std::size_t sessions = 0;
  std::list<WssSession*> greeting;  ///< not yet known which node it is; the one that came first in front
  bool is_stopping = false;
  std::shared_ptr<int> owed = std::make_shared<int>();  // held by all that the core will still call

 private:
  std::chrono::steady_clock::time_point window_{};
  std::set<std::string> told_;
  int silent_ = 0;
};

}  // namespace gorgone::proxy
