#pragma once
// An Agent for unit tests: a loop, a pool, a journal that remembers its rows in memory. Runs on the test's thread.

#include <gorgone/agent.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pace.hpp"

namespace gorgone::test {

class RecordingJournal : public Journal {
 public:
  std::vector<NewRow> rows;

  using Journal::read;
  using Journal::write;
  void write(std::vector<NewRow> added, std::function<void(Result<void>)> done = {}) override {
    for (auto& row : added) rows.push_back(std::move(row));
    if (done) done(Result<void>{});
  }
  void read(HistoryFilter, std::function<void(Result<Rows>)> done) override { done(Rows{}); }
  std::shared_ptr<void> watch(std::string, std::function<void(const HistoryRow&)>) override { return {}; }
  struct {
    double newest = 0;
    std::vector<NewRow> rows;
  } fetched;
  void store_fetched(std::string, double newest, std::vector<NewRow> added, std::function<void(Result<void>)> done) override {
    fetched = {newest, std::move(added)};
    done(Result<void>{});
  }
  void fetched_until(std::string, std::function<void(Result<double>)> done) override { done(0.0); }
  void fingerprint_of(std::string, std::function<void(Result<std::optional<std::string>>)> done) override {
    done(std::optional<std::string>{});
  }
  void pin_fingerprint(std::string, std::string, std::function<void(Result<void>)> done) override { done(Result<void>{}); }
  void note_refused_key(std::string, std::string, std::string) override {}
  void store_outgoing(StoredMessage, bool, std::function<void(Result<bool>)> done) override { done(true); }
  void forget_outgoing(std::string, std::function<void(Result<void>)> done = {}) override {
    if (done) done(Result<void>{});
  }
  void give_up_outgoing(std::string, NewRow row) override { rows.push_back(std::move(row)); }
  void outgoing(std::function<void(Result<std::vector<StoredMessage>>)> done) override { done(std::vector<StoredMessage>{}); }
  void store_incoming(StoredMessage, std::function<void(Result<bool>)> done) override { done(true); }
  void begin_incoming(std::string, std::function<void(Result<void>)> done) override { done(Result<void>{}); }
  void end_incoming(std::string) override {}
  void incoming(std::function<void(Result<std::vector<StoredMessage>>)> done) override { done(std::vector<StoredMessage>{}); }
  void keep_pull_identity(std::string, std::string) override {}
  void pull_identities(std::function<void(Result<std::map<std::string, std::string>>)> done) override { done({}); }
  void keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done = {}) override {
    records[collection][key] = std::move(data);
    if (done) done(Result<void>{});
  }
  void drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done = {}) override {
    records[collection].erase(key);
    if (done) done(Result<void>{});
  }
  void kept(std::string collection, std::function<void(Result<Kept>)> done, KeptRange range = {}) override {
    Kept part;
    for (const auto& [key, data] : records[collection])
      if (key >= range.from && (range.until.empty() || key < range.until) && (range.limit == 0 || part.size() < range.limit))
        part.emplace(key, data);
    done(std::move(part));
  }
  std::map<std::string, Kept> records;
  void purge(Purge, std::function<void(Result<Purged>)> done) override { done(Purged{}); }

  /// The rows of a token.
  std::vector<NewRow> of(const std::string& token) const {
    std::vector<NewRow> found;
    for (const auto& row : rows) {
      if (row.token == token) found.push_back(row);
    }
    return found;
  }
};

class LoopAgent : public Agent {
 public:
  ~LoopAgent() override { pool_.join(); }

  asio::io_context& loop() override { return loop_; }
  const Log& log() const override { return log_; }
  Journal& journal() override { return journal_; }
  const std::string& node_id() const override { return id_; }
  const std::string& hostname() const override { return hostname_; }
  std::string secret_for(const std::string& purpose) const override { return "secret for " + purpose; }
  void submit(Message, Reply reply = {}) override {
    if (reply) reply(Answer{});
  }
  void spawn(asio::awaitable<void> work) override {
    auto& signal = signals_.emplace_back();
    auto on_end = [this](std::exception_ptr) { ++ended_; };
    ++spawned_;
    asio::co_spawn(loop_, std::move(work), asio::bind_cancellation_slot(signal.slot(), std::move(on_end)));
  }
  void on_pool(std::function<void()> work) override { asio::post(pool_, std::move(work)); }
  asio::awaitable<Result<std::string>> log_text(HistoryFilter filter, WriteRows write) override {
    auto rows = co_await journal().read(std::move(filter));
    if (!rows) co_return rows.error();
    co_return write(*rows, false);
  }
  std::optional<Endpoint> endpoint(const std::string&, const std::string&) const override { return {}; }
  std::vector<std::string> methods(const std::string&) const override { return {}; }
  Gateway* gateway() const override { return nullptr; }
  void set_gateway(Gateway*) override {}
  Result<LinkFactory*> link_factory(const std::string&) override { return Error{"no links in unit tests"}; }
  Result<std::unique_ptr<Link>> dial(const DialSpec&, LinkOwner&) override { return Error{"no links in unit tests"}; }
  Result<std::unique_ptr<Link>> client_link(const std::string&, LinkOwner&) override { return Error{"no links in unit tests"}; }
  std::shared_ptr<void> add_parent(std::function<void(const Message&)>) override { return {}; }
  void tell_parents(const Message&) override {}
  asio::awaitable<void> begin(const Message&) override { co_return; }
  const ConfigValue& gorgone_config() const override { return config_; }
  const ConfigValue& centreon_config() const override { return config_; }

  RecordingJournal& recorded() { return journal_; }
  /// What gorgone_config() and centreon_config() give.
  void configure(ConfigValue config) { config_ = std::move(config); }
  std::size_t running() const { return spawned_ - ended_; }

  /// Cancels everything that was spawned, as the agent does when a module stops.
  void cancel_all() {
    for (auto& signal : signals_) signal.emit(asio::cancellation_type::terminal);
  }

  /// Runs the loop until all that was spawned has ended; throws where that takes longer than `limit` (of a plain build).
  void run(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    auto until = std::chrono::steady_clock::now() + slowness() * limit;
    loop_.restart();
    auto guard = asio::make_work_guard(loop_);
    while (running() > 0) {
      loop_.run_one_until(until);
      if (std::chrono::steady_clock::now() >= until) throw std::runtime_error("the test's coroutines did not end in time");
    }
  }
  void run_for(std::chrono::milliseconds time) {
    loop_.restart();
    auto guard = asio::make_work_guard(loop_);
    loop_.run_for(time);
  }

  /// Runs one coroutine to its end and gives its result, or throws what it threw.
  template <class T>
  T wait_for(asio::awaitable<T> work) {
    std::optional<T> result;
    std::exception_ptr failure;
    auto on_end = [&, this](std::exception_ptr error, T value) {
      ++ended_;
      failure = error;
      result.emplace(std::move(value));
    };
    ++spawned_;
    asio::co_spawn(loop_, std::move(work), on_end);
    run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*result);
  }

 private:
  asio::thread_pool pool_{2};
  std::list<asio::cancellation_signal> signals_;
  std::size_t spawned_ = 0, ended_ = 0;
  RecordingJournal journal_;
  Log log_{"test"};
  std::string id_ = "1", hostname_ = "test";
  ConfigValue config_;
  asio::io_context loop_{1};  // last: what still waits on it is destroyed first
};

}  // namespace gorgone::test
