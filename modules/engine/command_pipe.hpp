#pragma once
// One named pipe that an engine reads its external commands from. Requests write to it one after the other, in the order they came, and
// nothing of it ever blocks: the descriptor is on the loop, where all of this lives.

#include <gorgone/agent.hpp>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gorgone::engine {

class CommandPipe {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::chrono::milliseconds reader{300000};  ///< how long a reader is waited for
    std::chrono::milliseconds room{60000};     ///< how long a full pipe is waited for, without any progress
  };
  /// `waits` is called when a reader has been waited for longer than an engine needs as a rule, once until there is one.
  CommandPipe(asio::io_context& loop, std::string path, Limits limits, std::function<void()> waits = {});
  CommandPipe(const CommandPipe&) = delete;
  CommandPipe& operator=(const CommandPipe&) = delete;

  /// The right to write; it ends when it dies, and the pipe with the last one is closed. The pipe outlives it.
  class Turn {
   public:
    explicit Turn(CommandPipe* pipe) : pipe_(pipe) {}
    Turn(Turn&& other) noexcept : pipe_(std::exchange(other.pipe_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (pipe_ != nullptr) pipe_->leave();
    }

   private:
    CommandPipe* pipe_;
  };
  asio::awaitable<Turn> enter();
  /// Something may have been written in part, before this process: the next line is kept apart from it.
  void assume_torn() { is_torn_ = true; }
  /// Nothing is lost with it.
  bool is_idle() const { return !is_taken_ && waiting_.empty() && !is_torn_; }

  /// Opens it where it is not, waiting for a reader. `since`: when the request came; what waited behind another one has waited too.
  asio::awaitable<Result<void>> open(Clock::time_point since);

  /// Writes the lines from number `first` on. `about_to` is called before each write with the number of the first line behind those that
  /// it may write, and again with where it stands when nothing could be written; `written` when those lines are written. An Error says
  /// why no more were; a line of which only a part went out is never sent again, and its code is "torn" then.
  using Told = std::function<void(std::size_t)>;
  asio::awaitable<Result<void>> write(const std::vector<std::string>& lines, std::size_t first, const Told& about_to, const Told& written);

 private:
  struct Waiter;
  enum class Wrote { all, part, full, no_reader, failed };
  void leave();
  Result<void> try_open();
  bool is_replaced() const;
  Wrote write_some(const char* bytes, std::size_t size, std::size_t& done);
  asio::awaitable<void> wait_for_room();
  asio::awaitable<void> pause();
  bool is_over(Clock::time_point since, std::chrono::milliseconds limit) const;

  asio::io_context& loop_;
  std::string path_;
  Limits limits_;
  std::function<void()> waits_;
  asio::posix::stream_descriptor descriptor_;
  unsigned long device_ = 0, inode_ = 0;  // of what is open
  bool is_torn_ = false;                  // the last line went out in part
  bool is_taken_ = false;
  bool is_wait_told_ = false;
  Clock::time_point progress_;
  std::deque<std::shared_ptr<Waiter>> waiting_;
};

}  // namespace gorgone::engine
