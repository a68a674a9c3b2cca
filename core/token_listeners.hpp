#pragma once
// ADDLISTENER (docs/protocol.md, Actions of the core): an action run for each history row of a token, which may be fetched from a node
// meanwhile. Bounded in number and time. On the loop.

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/router.hpp"

namespace gorgone {

class TokenListeners {
 public:
  TokenListeners(asio::io_context& loop, Journal& journal, Router& router) : loop_(loop), journal_(journal), router_(router) {}

  /// A list of {event, token, target, log_pace, timeout}; an Error adds none of them.
  Result<void> add(const json::value& list);
  void clear() { listeners_.clear(); }

 private:
  struct Listener {
    std::string event, token, target;
    std::chrono::seconds pace{30};
    std::chrono::steady_clock::time_point until;
    std::shared_ptr<void> watch;
    std::unique_ptr<asio::steady_timer> timer;
    int events = 0;
  };
  using Id = std::uint64_t;  // what comes later finds its listener by it, or none
  void wait(Id id);
  void heard(Id id, const HistoryRow& row);
  void refused(Id id, const std::string& event);

  asio::io_context& loop_;
  Journal& journal_;
  Router& router_;
  std::map<Id, Listener> listeners_;
  Id last_id_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone
