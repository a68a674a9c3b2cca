#include "core/host/off_loop.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <memory>

namespace gorgone {
namespace {

using Clock = std::chrono::steady_clock;

struct Task {
  std::function<void()> work, done;
  LateWork late;
  boost::asio::steady_timer timer;        // loop
  std::atomic<Clock::rep> begun = never;  // until then it waits for others, which are told

  static constexpr Clock::rep never = 0;
};

void watch(const std::shared_ptr<Task>& task, Clock::duration pause) {
  task->timer.expires_after(pause);
  task->timer.async_wait([weak = std::weak_ptr<Task>(task)](const boost::system::error_code& error) {
    const auto running = weak.lock();
    if (error || !running) return;
    const auto begun = running->begun.load();
    const auto ran = begun == Task::never ? Clock::duration() : Clock::now().time_since_epoch() - Clock::duration(begun);
    if (ran >= running->late.after)
      running->late.tell();
    else
      watch(running, running->late.after - ran);
  });
}

}  // namespace

void run_off_loop(boost::asio::io_context& loop, boost::asio::thread_pool& pool, std::function<void()> work, std::function<void()> done,
                  LateWork late) {
  const auto after = late.after;
  auto task = std::make_shared<Task>(std::move(work), std::move(done), std::move(late), boost::asio::steady_timer(loop));
  watch(task, after);
  boost::asio::post(pool, [&loop, task = std::move(task)]() mutable {
    task->begun = Clock::now().time_since_epoch().count();
    task->work();
    boost::asio::post(loop, [task = std::move(task)] {
      task->timer.cancel();
      task->work = nullptr;
      task->done();
    });
  });
}

}  // namespace gorgone
