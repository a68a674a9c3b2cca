#pragma once
// One running child process on the loop: its output, its end, its time. Lives on the loop, held by its own pending
// operations; where the loop is destroyed first, the child's group is killed and the child reaped.

#include <gorgone/process.hpp>

#include "core/process_spawn.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <functional>
#include <memory>

namespace gorgone {

class Child : public std::enable_shared_from_this<Child> {
 public:
  /// Called on the loop, once, never from inside start() or cancel().
  using Done = std::function<void(ProcessResult)>;

  Child(boost::asio::io_context& loop, ProcessSpec spec, Done done);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  void start();
  /// Ends the group; `done` comes when the process is gone.
  void cancel();

 private:
  // running → (ended | terminating → killed) → complete; a process that ends by itself waits in `ended` for the rest of its output.
  enum class Stage { running, ended, terminating, killed, complete };

  void read();
  void wait_for_exit();
  void set_timer(std::chrono::milliseconds after);
  void on_read(std::size_t count);
  void on_output_end();
  void on_exit();
  void on_timer();
  void terminate();
  void kill_group();
  bool has_exited();
  void reap();
  void await_output_end();
  void complete();

  boost::asio::io_context& loop_;
  ProcessSpec spec_;
  Done done_;
  ProcessResult result_;
  boost::asio::posix::stream_descriptor pidfd_, output_;
  boost::asio::steady_timer timer_;
  std::array<char, 16384> buffer_;
  pid_t group_ = -1;
  Stage stage_ = Stage::running;
  unsigned timer_count_ = 0;  // tells a late timer from the present one
  bool exited_ = false, reaped_ = false, output_ended_ = false, timed_out_ = false;
};

}  // namespace gorgone
