#pragma once
// One push, at the sending side: reads the source, offers it, sends what the node lacks, and goes on until a row ends the push. Whatever
// is lost on the way is noticed by the time that nothing comes, and the next offer tells what is still lacking. On the loop.

#include <gorgone/agent.hpp>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "event.hpp"
#include "options.hpp"
#include "scanner.hpp"
#include "wire.hpp"

namespace gorgone::content {

/// What is remembered from push to push, shared by all of them.
struct SenderMemory {
  /// node, destination → the manifest that it had last: another one is sent along with its offer.
  std::map<std::pair<std::string, std::string>, Hash> installed;
  std::size_t unconfirmed = 0;  ///< bytes on the way, of all pushes
};

class Push : public std::enable_shared_from_this<Push> {
 public:
  Push(Agent& agent, const Options& options, SenderMemory& memory, std::string token, std::string node, PushRequest wish);

  /// Returns when a row has ended the token; writes it itself where the node cannot. Named by its caller, see Agent::spawn.
  asio::awaitable<void> run();

 private:
  enum class Next { wait, send_manifest, stream, offer_again, read_again, ended };
  void on_row(const HistoryRow& row);
  asio::awaitable<bool> has_ended_before();
  asio::awaitable<Result<void>> read_source();
  asio::awaitable<Result<void>> wait_for_node();
  asio::awaitable<Result<void>> converse();
  asio::awaitable<void> pause(Clock::duration time);
  asio::awaitable<Next> next_answer(Clock::time_point limit);
  asio::awaitable<Result<Next>> stream();
  bool offer(bool is_followed);
  bool send_manifest();
  bool send(const char* action, Payload data);
  void fail(const Error& why);
  struct Flight;
  void confirm(Flight& flight);
  bool is_overdue() const { return Clock::now() > heard_at_ + options_.silence; }

  Agent& agent_;
  Options options_;
  SenderMemory& memory_;
  std::string token_, node_;
  PushRequest wish_;
  Event event_;
  std::shared_ptr<void> watch_, refusals_;

  std::shared_ptr<const Manifest> manifest_;
  std::vector<Blob> blobs_;
  Hash hash_{};
  std::string packed_;  // the manifest, compressed
  std::string root_;    // of the source, resolved

  std::string transfer_;  // begins the tokens of this push's messages
  std::uint64_t sent_ = 0;
  std::int64_t attempt_ = 0;
  std::optional<Answer> answer_;  // the newest to this attempt that was not dealt with
  std::size_t taken_ = 0;         // pieces that the node has confirmed
  bool has_ended_ = false;
  std::optional<Error> refused_;
  Clock::time_point heard_at_;
};

}  // namespace gorgone::content
