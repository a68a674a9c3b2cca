#pragma once
// PROCESSCOPY: files and archives that come in chunks. Messages of one token are worked off strictly in turn, tokens
// independently of one another. Lives on the loop; the disk is touched on the pool only.

#include <gorgone/agent.hpp>

#include "copy_request.hpp"
#include "gate.hpp"
#include "options.hpp"
#include "partial_file.hpp"
#include "request_log.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <set>

namespace gorgone::action {

class Copier {
 public:
  /// Under way at once; what comes for another token then is refused as busy.
  static constexpr std::size_t copies_max = 1000;

  /// `options` outlive it.
  Copier(Agent& agent, const Options& options) : agent_(agent), options_(options), placing_(agent.loop(), 1, copies_max) {}

  /// Takes a message; works it off, and those of its token that come meanwhile, unless another call is doing that already.
  asio::awaitable<void> take(Message message);
  /// Puts back what an earlier run of this daemon was ended in while it wrote over it.
  asio::awaitable<void> recover();
  /// Gives up copies of which nothing more comes. Ends by cancellation only.
  asio::awaitable<void> watch_idle();
  /// Removes what has come of copies whose senders begin anew after a stop of this daemon.
  asio::awaitable<void> stop();

 private:
  using Clock = std::chrono::steady_clock;

  struct Copy {
    std::deque<Message> waiting;
    bool is_busy = false;
    bool is_placed_now = false;            // all of it has come
    bool is_ended = false;                 // by its end or by a failure: what still comes is passed over
    bool has_last = false;                 // the message that ends it has come
    std::shared_ptr<PartialFile> partial;  // what its chunks are in
    Clock::time_point touched = Clock::now();
  };

  /// Whether one more copy may begin.
  bool make_room();
  asio::awaitable<void> work_off(Copy& copy, std::string token);
  asio::awaitable<void> handle(Copy& copy, Message message);
  asio::awaitable<Result<void>> take_chunk(Copy& copy, CopyRequest request, const std::string& token, const RequestLog& log);
  asio::awaitable<Result<void>> finish(Copy& copy, CopyRequest request, const RequestLog& log);
  asio::awaitable<void> fail(Copy& copy, Error error, const RequestLog& log);
  asio::awaitable<void> remove(std::shared_ptr<PartialFile> file);
  void end_other_tries(const std::string& token, const std::string& prefix);
  asio::awaitable<void> give_up_idle();

  Agent& agent_;
  const Options& options_;
  Gate placing_;
  std::map<std::string, Copy> copies_;  // by token
  std::set<std::string> known_caches_;  // swept of an earlier run's files
  std::size_t queued_bytes_ = 0;
  bool is_stopping_ = false;
};

}  // namespace gorgone::action
