#include "core/process_child.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gorgone {
namespace {

using namespace std::chrono_literals;
using boost::system::error_code;

constexpr auto term_to_kill = 500ms;
constexpr auto output_grace = 200ms;
// What sudo runs as root takes no signal from us; nothing waits for it for ever.
constexpr auto kill_to_giving_up = 5000ms;

void describe_failure(ProcessResult& result, int error, const std::vector<std::string>& argv) {
  result.end = ProcessResult::End::not_started;
  result.exit_code = error == ENOENT || error == ENOTDIR ? 127 : 126;
  result.output = fmt::format("cannot start \"{}\": {}", argv.empty() ? "" : argv[0], std::strerror(error));
}

}  // namespace

Child::Child(boost::asio::io_context& loop, ProcessSpec spec, Done done)
    : loop_(loop), spec_(std::move(spec)), done_(std::move(done)), pidfd_(loop), output_(loop), timer_(loop) {}

Child::~Child() {
  if (group_ > 0 && !reaped_) end_group(group_, pidfd_.is_open() ? pidfd_.native_handle() : -1);
}

void Child::start() {
  auto spawned = spawn_process(spec_.argv);
  if (spawned.error != 0) {
    describe_failure(result_, spawned.error, spec_.argv);
    complete();
    return;
  }
  group_ = spawned.pid;
  error_code error;
  pidfd_.assign(spawned.pidfd.get(), error);
  if (!error) {
    spawned.pidfd.release();
    output_.assign(spawned.output.get(), error);
  }
  if (error) {
    end_group(group_, pidfd_.is_open() ? pidfd_.native_handle() : spawned.pidfd.get());
    reaped_ = true;
    describe_failure(result_, error.value(), spec_.argv);
    complete();
    return;
  }
  spawned.output.release();
  set_timer(spec_.timeout);
  wait_for_exit();
  read();
}

void Child::cancel() {
  if (stage_ == Stage::running) terminate();
  if (stage_ == Stage::ended) complete();
}

void Child::read() {
  auto on_done = [self = shared_from_this()](error_code error, std::size_t count) {
    if (self->stage_ == Stage::complete) return;
    if (error) {
      self->on_output_end();
    } else {
      self->on_read(count);
    }
  };
  output_.async_read_some(boost::asio::buffer(buffer_), std::move(on_done));
}

void Child::wait_for_exit() {
  auto on_done = [self = shared_from_this()](error_code error) {
    if (error) return;
    // Asio may tell a descriptor ready by an event of an earlier one; reaping now would leave a zombie and invent its status.
    if (self->has_exited())
      self->on_exit();
    else
      self->wait_for_exit();
  };
  pidfd_.async_wait(boost::asio::posix::stream_descriptor::wait_read, std::move(on_done));
}

void Child::set_timer(std::chrono::milliseconds after) {
  timer_.expires_after(after);
  auto on_done = [self = shared_from_this(), count = ++timer_count_](error_code error) {
    if (!error && count == self->timer_count_) self->on_timer();
  };
  timer_.async_wait(std::move(on_done));
}

void Child::on_read(std::size_t count) {
  auto kept = std::min(count, spec_.output_limit - std::min(spec_.output_limit, result_.output.size()));
  result_.output.append(buffer_.data(), kept);
  result_.dropped += count - kept;
  read();
}

void Child::on_output_end() {
  output_ended_ = true;
  if (stage_ == Stage::ended || (stage_ == Stage::killed && reaped_)) complete();
}

void Child::on_exit() {
  exited_ = true;
  switch (stage_) {
    case Stage::running:
      reap();
      stage_ = Stage::ended;
      await_output_end();
      break;
    case Stage::terminating:
      break;  // not reaped yet: the dead leader keeps its group's number from being given to others
    case Stage::killed:
      reap();
      await_output_end();
      break;
    case Stage::ended:
    case Stage::complete:
      reap();
      break;
  }
}

void Child::await_output_end() {
  if (output_ended_) {
    complete();
  } else {
    set_timer(output_grace);
  }
}

void Child::on_timer() {
  switch (stage_) {
    case Stage::running:
      timed_out_ = true;
      terminate();
      break;
    case Stage::terminating:
      kill_group();
      break;
    case Stage::ended:
    case Stage::killed:
      complete();
      break;
    case Stage::complete:
      break;
  }
}

void Child::terminate() {
  stage_ = Stage::terminating;
  ::kill(-group_, SIGTERM);
  set_timer(term_to_kill);
}

void Child::kill_group() {
  stage_ = Stage::killed;
  ::kill(-group_, SIGKILL);
  if (exited_) {
    reap();
    await_output_end();
  } else {
    set_timer(kill_to_giving_up);
  }
}

bool Child::has_exited() {
  siginfo_t info{};
  return waitid(P_PIDFD, static_cast<id_t>(pidfd_.native_handle()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

void Child::reap() {
  siginfo_t info{};
  auto failed = waitid(P_PIDFD, static_cast<id_t>(pidfd_.native_handle()), &info, WEXITED) != 0;
  reaped_ = true;
  // ECHILD: somebody ignores SIGCHLD in this process; the status is lost.
  result_.end = ProcessResult::End::exited;
  if (failed) return;
  result_.exit_code = info.si_status;
  if (info.si_code != CLD_EXITED) {
    result_.end = ProcessResult::End::signalled;
    result_.exit_code = 128 + info.si_status;
  }
}

void Child::complete() {
  if (stage_ == Stage::complete) return;
  stage_ = Stage::complete;
  timer_.cancel();
  error_code ignored;
  output_.close(ignored);
  // A process that nothing could end is reaped whenever it ends: then the wait on the pidfd goes on.
  if (reaped_) pidfd_.close(ignored);
  if (timed_out_) {
    result_.end = ProcessResult::End::timed_out;
    result_.exit_code = -1;
  }
  boost::asio::post(loop_, [done = std::move(done_), result = std::move(result_)]() mutable { done(std::move(result)); });
  done_ = nullptr;
}

}  // namespace gorgone
