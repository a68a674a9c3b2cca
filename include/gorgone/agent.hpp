#pragma once
// All that a module may ask of the daemon. One Agent per module; it outlives the module and all that the module spawned.
// Everything is called on the loop, and calls back on the loop, unless it says otherwise.

#include <gorgone/config.hpp>
#include <gorgone/journal.hpp>
#include <gorgone/link.hpp>
#include <gorgone/log.hpp>
#include <gorgone/message.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace gorgone {

namespace asio = boost::asio;

/// An action found by method and path: `variables` are the parts of the path after the registered one.
struct Endpoint {
  std::string action;
  std::vector<std::string> variables;
};

class GORGONE_API Agent {
 public:
  virtual ~Agent() = default;

  virtual asio::io_context& loop() = 0;
  virtual const Log& log() const = 0;
  virtual Journal& journal() = 0;
  virtual const std::string& node_id() const = 0;  ///< may be empty until SETCOREID
  virtual const std::string& hostname() const = 0;
  /// What this node alone can know, made of its private key: the same each time for a purpose, 43 characters. Never log it.
  virtual std::string secret_for(const std::string& purpose) const = 0;

  /// Runs a message as if it had come in: for this node or, by its target, for another one.
  virtual void submit(Message message, Reply reply = {}) = 0;

  /// Runs a coroutine beside the caller. It is counted: the module is not unloaded before it has ended, and it is
  /// cancelled (asio cancellation, terminal) when the module stops. An exception ends it with a line in the log.
  virtual void spawn(asio::awaitable<void> work) = 0;

  /// Runs `work` on the pool, off the loop; queued, never refused. What it holds is destroyed on the loop.
  virtual void on_pool(std::function<void()> work) = 0;

  /// `co_await agent.blocking(f)`: f runs on the pool, its result comes back to the loop. Name `f` before the
  /// co_await expression (a GCC 12 trap).
  template <class F, class R = std::invoke_result_t<F>>
  asio::awaitable<R> blocking(F f);

  /// The text that `write` makes of rows of the history, read as for GETLOG: in portions, few readers at a time, and of more than
  /// `gorgonecore.max_log_answer_size` the oldest (`has_more`), for whom the newest `ctime` among them says where the rest begins. Where
  /// they are long `write` runs on the pool. An Error with code "busy" where too many wait.
  using WriteRows = std::function<std::string(const Rows& rows, bool has_more)>;
  virtual asio::awaitable<Result<std::string>> log_text(HistoryFilter filter, WriteRows write) = 0;

  /// The action registered for a method and a path without "/api" and "/nodes/<id>", such as "/core/action/command".
  virtual std::optional<Endpoint> endpoint(const std::string& method, const std::string& path) const = 0;
  /// The methods registered for a path, for 405.
  virtual std::vector<std::string> methods(const std::string& path) const = 0;

  /// The way to other nodes; nullptr without a proxy. The proxy sets it at its start and takes it back at its end.
  virtual Gateway* gateway() const = 0;
  virtual void set_gateway(Gateway* gateway) = 0;

  /// The factory of links of a type, offered by a module of that name, which is loaded where it is not yet.
  virtual Result<LinkFactory*> link_factory(const std::string& type) = 0;
  /// Opens an encrypted ZeroMQ connection to another agent's listener; see DialSpec.
  virtual Result<std::unique_ptr<Link>> dial(const DialSpec& spec, LinkOwner& owner) = 0;
  /// A link over the session that a client has with our own listener, for nodes that dial us (pull). It is up while that session
  /// is; an empty routing id gives a link that is down, why: awaited. What the client sends from then on comes to the owner.
  virtual Result<std::unique_ptr<Link>> client_link(const std::string& routing_id, LinkOwner& owner) = 0;

  /// Someone above this node, reached by a link that it dialled itself, is told what parents are told; until the handle dies.
  virtual std::shared_ptr<void> add_parent(std::function<void(const Message&)> tell) = 0;
  /// Sends a message to every parent: those of add_parent() and the sessions of our listener that have sent a PING.
  virtual void tell_parents(const Message& message) = 0;

  /// Called before the first effect of a message that must not happen twice; returns when that is written down. A message with a
  /// delivery id that was not begun when the daemon ended is run again; one that was begun is not, and a history row says so.
  virtual asio::awaitable<void> begin(const Message& message) = 0;

  /// The whole configuration below `gorgone`, for what lies outside a module's own part (tpapi).
  virtual const ConfigValue& gorgone_config() const = 0;
  virtual const ConfigValue& centreon_config() const = 0;
};

template <class F, class R>
asio::awaitable<R> Agent::blocking(F f) {
  // A shared state keeps the function and its result away from the handler, which asio moves about.
  struct State {
    F f;
    std::optional<R> result;
    std::exception_ptr error;
  };
  auto state = std::make_shared<State>(State{std::move(f), {}, {}});
  auto start = [this, state](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    on_pool([this, state, shared] {
      try {
        state->result.emplace(state->f());
      } catch (...) {
        state->error = std::current_exception();
      }
      asio::post(loop(), [shared] { std::move (*shared)(); });
    });
  };
  const auto& token = asio::use_awaitable;
  co_await asio::async_initiate<decltype(asio::use_awaitable) const&, void()>(start, token);
  if (state->error) std::rethrow_exception(state->error);
  co_return std::move(*state->result);
}

}  // namespace gorgone
