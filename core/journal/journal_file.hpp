#pragma once
// The journal on SQLite (ARCHITECTURE: one writer, commits in groups). A thread of its own owns the database; jobs wait in
// one queue, all that wait are run in one transaction, and completions go back to the loop after its commit.
// Public methods are called on the loop. docs/journal.md describes the file.

#include <gorgone/journal.hpp>
#include <gorgone/log.hpp>

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "core/journal/store.hpp"

namespace gorgone {

class GORGONE_API JournalFile final : public Journal {
 public:
  /// Opens `path` (":memory:" for none). Where it cannot be used, now or later, the journal is kept in memory until it can: the
  /// daemon always starts and goes on. The loop must outlive the journal.
  JournalFile(boost::asio::io_context& loop, std::string path, Tables::Access access = Tables::Access::write);
  ~JournalFile() override;

  using Journal::read;
  using Journal::write;
  void write(std::vector<NewRow> rows, std::function<void(Result<void>)> done) override;
  void read(HistoryFilter filter, std::function<void(Result<Rows>)> done) override;
  std::shared_ptr<void> watch(std::string token, std::function<void(const HistoryRow&)> on_row) override;
  void store_fetched(std::string node, double newest_ctime, std::vector<NewRow> rows, std::function<void(Result<void>)> done) override;
  void fetched_until(std::string node, std::function<void(Result<double>)> done) override;
  void fingerprint_of(std::string target, std::function<void(Result<std::optional<std::string>>)> done) override;
  void pin_fingerprint(std::string target, std::string thumbprint, std::function<void(Result<void>)> done) override;
  void note_refused_key(std::string target, std::string node, std::string thumbprint) override;
  void store_outgoing(StoredMessage message, bool is_passed_on, std::function<void(Result<bool>)> done) override;
  void forget_outgoing(std::string delivery, std::function<void(Result<void>)> done) override;
  void give_up_outgoing(std::string delivery, NewRow row) override;
  void outgoing(std::function<void(Result<std::vector<StoredMessage>>)> done) override;
  void store_incoming(StoredMessage message, std::function<void(Result<bool>)> done) override;
  void begin_incoming(std::string delivery, std::function<void(Result<void>)> done) override;
  void end_incoming(std::string delivery) override;
  void incoming(std::function<void(Result<std::vector<StoredMessage>>)> done) override;
  void keep_pull_identity(std::string node, std::string routing_id) override;
  void pull_identities(std::function<void(Result<std::map<std::string, std::string>>)> done) override;
  void keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done) override;
  void drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done) override;
  void kept(std::string collection, std::function<void(Result<Kept>)> done, KeptRange range = {}) override;
  void purge(Purge what, std::function<void(Result<Purged>)> done) override;

  void sessions(std::function<void(Result<std::vector<StoredSession>>)> done);
  void save_session(StoredSession session);
  void drop_session(std::string identity);

  /// Runs what is queued, commits and closes. Completions that were not yet called are dropped.
  void close();
  /// More of rows and messages than this never waits for the disk; what comes beyond it gets an Error "busy".
  static constexpr std::size_t queued_bytes_max = std::size_t{64} << 20;
  /// Drawn when the file was made, so that it says which journal the numbers and times of rows are of. Empty where the file could not be
  /// used at the start.
  const std::string& id() const { return id_; }
  /// True while the file cannot be used. Any thread.
  bool in_memory() const { return in_memory_; }
  bool is_durable() const override { return !in_memory_; }

 private:
  struct Watch;
  // `work` runs on the journal's thread, perhaps a second time where the group it was in failed; `done` runs on the loop
  // after the commit, with the error or nullptr.
  struct Job {
    std::function<void(Store&)> work;
    std::function<void(const Error*)> done;
    std::size_t bytes = 0;  // that it keeps in memory until it has run; 0: it is always taken
  };
  void enqueue(Job job);
  /// Too much waits for a disk that hangs.
  void refuse(Job job);
  void run();
  void run_batch(std::deque<Job>& batch);
  bool is_to_tell(const Error& error);
  void tell_watches(const Rows& rows);
  void tell_watches_of(const std::string& token, const HistoryRow& row);
  void purge_on(Purge what, Purged before, std::function<void(Result<Purged>)> done);
  void command(std::function<void(Store&)> work, std::function<void(Result<void>)> done, std::size_t bytes = 0);
  /// Rows, and `more` in the same transaction.
  void write_then(std::vector<NewRow> rows, std::function<void(Store&)> more, std::function<void(Result<void>)> done, std::size_t bytes);
  template <class T>
  void ask(std::function<T(Store&)> query, std::function<void(Result<T>)> done, std::size_t bytes = 0);

  boost::asio::io_context& loop_;
  Log log_{"journal"};
  std::atomic<bool> in_memory_ = false;
  Store store_;                                                              // journal's thread, once that runs
  std::map<std::string, std::chrono::steady_clock::time_point> told_again_;  // journal's thread: refusals, by their code
  std::string id_;
  std::multimap<std::string, Watch*> watches_;                  // loop
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // loop
  std::int64_t refused_ = 0;                                    // loop
  std::chrono::steady_clock::time_point refused_told_{};        // loop

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  std::size_t queued_bytes_ = 0;  // of the queue and of what is being run
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace gorgone
