#include <gorgone/database.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>

#include "core/database/connection.hpp"

namespace gorgone {

using database::Connection;
using database::Outcome;
using database::Statement;

namespace {

constexpr std::size_t waiting_max = 10'000;
constexpr auto change_grace = std::chrono::seconds(1);

// What one caller waits for. Owned by its coroutine; of the loop, which alone looks into it.
struct Waiting {
  explicit Waiting(asio::io_context& loop) : answered(loop, asio::steady_timer::time_point::max()) {}
  asio::steady_timer answered;
  std::optional<Result<Outcome>> outcome;
};

// The same as the thread has it, which may outlive the loop.
struct Call {
  Statement statement;
  std::weak_ptr<Waiting> caller;
};

// While it lives, and for threads that are made meanwhile: signals are for the loop's thread.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

struct Database::Worker {
  Worker(asio::io_context& on, DatabaseAccess access, Limits limits) : loop(on), connection(std::move(access), limits, is_ended) {}

  asio::io_context& loop;  // not touched once is_ended
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Call> waiting;
  bool is_changing = false;  // a change is under way
  bool is_idle = true;       // no statement is
  std::atomic<bool> is_ended = false;
  Connection connection;
  std::thread thread;

  void answer(const Call& call, Result<Outcome> outcome) {
    const std::lock_guard lock(mutex);
    is_changing = false;
    changed.notify_all();
    if (is_ended) return;
    asio::post(loop, [caller = call.caller, outcome = std::move(outcome)]() mutable {
      const auto waiting_one = caller.lock();
      if (!waiting_one) return;
      waiting_one->outcome.emplace(std::move(outcome));
      waiting_one->answered.cancel();
    });
  }

  // Whoever waited while nobody could be connected to has waited long enough.
  void answer_waiting(const Error& error) {
    std::deque<Call> calls;
    {
      const std::lock_guard lock(mutex);
      calls.swap(waiting);
    }
    for (const auto& call : calls) answer(call, error);
  }

  std::optional<Call> next() {
    std::unique_lock lock(mutex);
    is_idle = true;
    changed.wait(lock, [this] { return is_ended || !waiting.empty(); });
    if (is_ended) return {};
    auto call = std::move(waiting.front());
    waiting.pop_front();
    is_idle = false;
    is_changing = call.statement.is_change;
    return call;
  }

  void run() {
    mysql_thread_init();
    while (const auto call = next()) {
      if (call->caller.expired()) continue;
      auto outcome = connection.run(call->statement);
      const auto away = !outcome && connection.is_away() ? std::optional(outcome.error()) : std::nullopt;
      answer(*call, std::move(outcome));
      if (away) answer_waiting(*away);
    }
    connection.close();
    mysql_thread_end();
  }

  static asio::awaitable<Result<Outcome>> call(std::shared_ptr<Worker> self, Statement statement) {
    const auto waiting_one = std::make_shared<Waiting>(self->loop);
    if (!self->enqueue(self, Call{std::move(statement), waiting_one})) co_return Error{"10000 statements wait for the database", "busy"};
    self.reset();
    boost::system::error_code ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await waiting_one->answered.async_wait(token);
    if (!waiting_one->outcome) throw boost::system::system_error(asio::error::operation_aborted);
    co_return std::move(*waiting_one->outcome);
  }

  bool enqueue(const std::shared_ptr<Worker>& self, Call call) {
    const std::lock_guard lock(mutex);
    if (waiting.size() >= waiting_max) return false;
    waiting.push_back(std::move(call));
    changed.notify_all();
    if (!thread.joinable()) start(self);
    return true;
  }

  void start(const std::shared_ptr<Worker>& self) {
    static std::once_flag once;
    std::call_once(once, [] { mysql_library_init(0, nullptr, nullptr); });
    const SignalsBlocked blocked;
    thread = std::thread([self] { self->run(); });
  }
};

Database::Database(Agent& agent, DatabaseAccess access) : Database(agent, std::move(access), Limits()) {}

Database::Database(Agent& agent, DatabaseAccess access, Limits limits) {
  for (const auto& part : access.not_followed) agent.log().warning("database '{}': {}", printable(access.name), part);
  worker_ = std::make_shared<Worker>(agent.loop(), std::move(access), limits);
}

Database::~Database() {
  std::unique_lock lock(worker_->mutex);
  worker_->is_ended = true;
  worker_->waiting.clear();
  worker_->changed.notify_all();
  worker_->changed.wait_for(lock, change_grace, [this] { return !worker_->is_changing; });
  const bool is_idle = worker_->is_idle;
  lock.unlock();
  if (!worker_->thread.joinable()) return;
  // A server that does not answer holds up nobody but the thread, which ends by itself at a limit; the library stays loaded for it.
  if (is_idle)
    worker_->thread.join();
  else
    worker_->thread.detach();
}

asio::awaitable<Result<DatabaseTable>> Database::query(std::string statement, DatabaseTable::Row parameters) {
  auto self = worker_;
  Statement what{std::move(statement), std::move(parameters), false};
  auto outcome = co_await Worker::call(std::move(self), std::move(what));
  if (!outcome) co_return outcome.error();
  co_return std::move(outcome->table);
}

asio::awaitable<Result<std::uint64_t>> Database::change(std::string statement, DatabaseTable::Row parameters) {
  auto self = worker_;
  Statement what{std::move(statement), std::move(parameters), true};
  auto outcome = co_await Worker::call(std::move(self), std::move(what));
  if (!outcome) co_return outcome.error();
  co_return outcome->changed;
}

}  // namespace gorgone
