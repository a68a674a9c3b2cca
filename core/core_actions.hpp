#pragma once
// The actions that every node serves without a module (docs/protocol.md, Actions of the core). On the loop.

#include <functional>
#include <string>
#include <vector>

#include "core/host/module_host.hpp"
#include "core/log_answers.hpp"
#include "core/log_waiters.hpp"
#include "core/router.hpp"
#include "core/token_listeners.hpp"

namespace gorgone {

/// What the core actions work on; all of it outlives the router.
struct CoreParts {
  asio::io_context& loop;
  Router& router;
  ModuleHost& modules;
  Journal& journal;
  TokenListeners& listeners;
  LogWaiters& log_waiters;
  LogAnswers& log_answers;
  std::string thumbprint, hostname;
  bool id_is_configured = false;
  std::string journal_id;                                  ///< see JournalFile::id()
  std::function<bool(const Origin&)> is_node;              ///< whether the sender is a node that dials this daemon
  std::int64_t max_message_size = 0, max_answer_size = 0;  ///< frames that are taken from who has dialled, and from whom was dialled
};

void add_core_actions(CoreParts parts);
/// The same, for documentation.
std::vector<Action> core_actions();

/// GETLOG's filters; an Error where one is no number.
Result<HistoryFilter> history_filter(const json::value& data);

}  // namespace gorgone
