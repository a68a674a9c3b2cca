#include "command_pipe.hpp"

#include "request.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gorgone::engine {
namespace {

constexpr auto reader_looked_for_every = std::chrono::milliseconds(50);
// While it is full it is looked at again, for it may have been replaced, or the system have said nothing.
constexpr auto room_looked_for_every = std::chrono::milliseconds(500);
constexpr auto told_after = std::chrono::seconds(5);
constexpr auto shortest_wait = std::chrono::milliseconds(5);

double seconds(std::chrono::milliseconds span) { return static_cast<double>(span.count()) / 1000; }

// What may pass by itself: an engine that starts anew makes its pipe anew, too.
bool is_passing(const Error& error) { return error.code == "no_reader" || error.code == "missing"; }

}  // namespace

struct CommandPipe::Waiter {
  explicit Waiter(asio::io_context& loop) : timer(loop, Clock::time_point::max()) {}
  asio::steady_timer timer;
  bool is_done = false;  // else it was cancelled
};

CommandPipe::CommandPipe(asio::io_context& loop, std::string path, Limits limits, std::function<void()> waits)
    : loop_(loop), path_(std::move(path)), limits_(limits), waits_(std::move(waits)), descriptor_(loop), progress_(Clock::now()) {}

asio::awaitable<CommandPipe::Turn> CommandPipe::enter() {
  if (!is_taken_) {
    is_taken_ = true;
    co_return Turn(this);
  }
  auto waiter = std::make_shared<Waiter>(loop_);
  waiting_.push_back(waiter);
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (waiter->is_done) co_return Turn(this);
  std::erase(waiting_, waiter);
  throw boost::system::system_error(asio::error::operation_aborted);
}

void CommandPipe::leave() {
  if (waiting_.empty()) {
    is_taken_ = false;
    // Kept open it would hide from its reader that nobody writes any more.
    boost::system::error_code ignored;
    descriptor_.close(ignored);
    return;
  }
  auto next = std::move(waiting_.front());
  waiting_.pop_front();
  next->is_done = true;
  next->timer.cancel();
}

Result<void> CommandPipe::try_open() {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0)
    return Error{fmt::format("command file '{}' must exist: {}", path_, std::strerror(errno)), "missing"};
  if (!S_ISFIFO(status.st_mode)) return Error{fmt::format("command file '{}' must be a pipe file", path_)};
  const int descriptor = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0 && errno == ENXIO)
    return Error{fmt::format("command file '{}' has no reader: no engine has had it open for {:g} s", path_, seconds(limits_.reader)),
                 "no_reader"};
  if (descriptor < 0 && errno == ENOENT) return Error{fmt::format("command file '{}' must exist", path_), "missing"};
  if (descriptor < 0) return Error{fmt::format("command file '{}' must be writeable: {}", path_, std::strerror(errno))};
  if (::fstat(descriptor, &status) != 0 || !S_ISFIFO(status.st_mode)) {
    ::close(descriptor);
    return Error{fmt::format("command file '{}' must be a pipe file", path_)};
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
  descriptor_.assign(descriptor);
  return {};
}

bool CommandPipe::is_replaced() const {
  struct stat status {};
  return ::stat(path_.c_str(), &status) != 0 || status.st_dev != device_ || status.st_ino != inode_;
}

bool CommandPipe::is_over(Clock::time_point since, std::chrono::milliseconds limit) const {
  return Clock::now() >= std::max(since, progress_) + limit;
}

asio::awaitable<void> CommandPipe::pause() {
  asio::steady_timer timer(loop_, reader_looked_for_every);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<Result<void>> CommandPipe::open(Clock::time_point since) {
  for (;;) {
    if (descriptor_.is_open()) {
      if (!is_replaced()) co_return Result<void>{};
      descriptor_.close();
    }
    auto opened = try_open();
    if (opened) is_wait_told_ = false;
    if (opened || !is_passing(opened.error()) || is_over(since, limits_.reader)) co_return opened;
    if (waits_ && Clock::now() >= since + told_after && !std::exchange(is_wait_told_, true)) waits_();
    co_await pause();
  }
}

asio::awaitable<void> CommandPipe::wait_for_room() {
  auto waiter = std::make_shared<Waiter>(loop_);
  waiter->timer.expires_after(room_looked_for_every);
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_write, [waiter](const boost::system::error_code& error) {
    if (error == asio::error::operation_aborted) return;
    waiter->is_done = true;
    waiter->timer.cancel();
  });
  boost::system::error_code error;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (descriptor_.is_open()) descriptor_.cancel();
  if (error && !waiter->is_done) throw boost::system::system_error(asio::error::operation_aborted);
}

CommandPipe::Wrote CommandPipe::write_some(const char* bytes, std::size_t size, std::size_t& done) {
  while (done < size) {
    const auto count = ::write(descriptor_.native_handle(), bytes + done, size - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return done > 0 ? Wrote::part : Wrote::full;
    return errno == EPIPE ? Wrote::no_reader : Wrote::failed;
  }
  return Wrote::all;
}

asio::awaitable<Result<void>> CommandPipe::write(const std::vector<std::string>& lines, std::size_t first, const Told& about_to,
                                                 const Told& written) {
  const auto began = Clock::now();
  bool was_full = false;
  for (auto at = first; at < lines.size();) {
    // Behind a part of a line nothing may stand but a line break.
    const auto end = is_torn_ ? at : batch_end(lines, at);
    std::string batch = is_torn_ ? "\n" : "";
    for (auto line = at; line < end; ++line) batch += lines[line];
    std::size_t done = 0, told = 0;
    for (;;) {
      about_to(end);
      const auto outcome = write_some(batch.data(), batch.size(), done);
      if (done == 0) about_to(at);
      if (done > told) progress_ = Clock::now();
      told = done;
      if (outcome == Wrote::all) break;
      const int error = errno;
      const bool has_begun = done > 0;
      if (has_begun) is_torn_ = true;
      const std::string code = has_begun ? "torn" : "";
      if (outcome == Wrote::failed)
        co_return Error{fmt::format("command file '{}' cannot be written: {}", path_, std::strerror(error)), code};
      if (outcome == Wrote::no_reader) {
        descriptor_.close();
        if (has_begun) co_return Error{fmt::format("the reader of command file '{}' went away in the middle of a line", path_), code};
        auto opened = co_await open(Clock::now());
        if (!opened) co_return opened;
        continue;
      }
      if (is_over(began, limits_.room))
        co_return Error{fmt::format("command file '{}' was full for {:g} s{}", path_, seconds(limits_.room),
                                    has_begun ? ": a line was written in part" : ""),
                        code};
      if (was_full) {  // the system said that there is room, and there was none
        asio::steady_timer timer(loop_, shortest_wait);
        co_await timer.async_wait(asio::use_awaitable);
      }
      co_await wait_for_room();
      was_full = outcome == Wrote::full;
      if (has_begun || !is_replaced()) continue;
      descriptor_.close();
      auto opened = co_await open(Clock::now());
      if (!opened) co_return opened;
    }
    was_full = false;
    is_torn_ = false;
    at = end;
    written(at);
  }
  co_return Result<void>{};
}

}  // namespace gorgone::engine
