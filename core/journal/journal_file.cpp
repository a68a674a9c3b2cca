#include "core/journal/journal_file.hpp"

#include <gorgone/json.hpp>

#include <fmt/format.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <ctime>

#include "core/wire/text.hpp"

namespace gorgone {

namespace {

constexpr auto refused_told_every = std::chrono::seconds(60);

std::size_t bytes_of(const StoredMessage& message) { return static_cast<std::size_t>(Tables::bytes_of(message)); }

std::size_t bytes_of(const std::vector<NewRow>& rows) {
  std::size_t bytes = 0;
  for (const auto& row : rows) bytes += sizeof row + row.token.size() + row.data.size() + row.origin.size();
  return bytes;
}

}  // namespace

struct JournalFile::Watch {
  std::string token;
  std::function<void(const HistoryRow&)> on_row;
};

JournalFile::JournalFile(boost::asio::io_context& loop, std::string path, Tables::Access access)
    : loop_(loop), store_(std::move(path), access) {
  in_memory_ = store_.in_memory();
  id_ = store_.id();
  thread_ = std::thread([this] { run(); });
}

JournalFile::~JournalFile() { close(); }

void JournalFile::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void JournalFile::enqueue(Job job) {
  {
    std::lock_guard lock(mutex_);
    const bool is_taken = job.bytes == 0 || queued_bytes_ == 0 || queued_bytes_ + job.bytes <= queued_bytes_max;
    if (is_taken) {
      queued_bytes_ += job.bytes;
      queue_.push_back(std::move(job));
      if (queue_.size() > 1) return;  // the thread has been woken for those before
    } else {
      boost::asio::post(loop_, [this, refused = std::make_shared<Job>(std::move(job)), alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) refuse(std::move(*refused));
      });
    }
  }
  wake_.notify_one();
}

void JournalFile::refuse(Job job) {
  ++refused_;
  const Error why{fmt::format("the database does not take what it is given: {} MB wait for its disk already", queued_bytes_max >> 20),
                  "busy"};
  if (const auto now = std::chrono::steady_clock::now(); now >= refused_told_ + refused_told_every) {
    refused_told_ = now;
    log_.error("{}; {} rows and messages were refused", why.message, refused_);
  }
  if (job.done) job.done(&why);
}

void JournalFile::run() {
  std::deque<Job> batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const auto something = [this] { return closing_ || !queue_.empty(); };
      if (const auto due = store_.recovery_due())
        wake_.wait_until(lock, *due, something);
      else
        wake_.wait(lock, something);
      if (queue_.empty() && closing_) break;
      std::swap(batch, queue_);
    }
    store_.recover();
    std::size_t bytes = 0;
    for (const auto& job : batch) bytes += job.bytes;
    if (!batch.empty()) run_batch(batch);
    batch.clear();
    in_memory_ = store_.in_memory();
    std::lock_guard lock(mutex_);
    queued_bytes_ -= bytes;
  }
  store_.close();
}

// Whoever asked is told of each refusal; who reads the log, now and then.
bool JournalFile::is_to_tell(const Error& error) {
  if (error.code == "database") return true;
  const auto now = std::chrono::steady_clock::now();
  auto& again = told_again_[error.code];
  if (now < again) return false;
  again = now + refused_told_every;
  return true;
}

// All that waited is one transaction. Where that fails, each job gets one of its own, so that one bad job fails alone.
void JournalFile::run_batch(std::deque<Job>& batch) {
  std::vector<std::pair<std::function<void(const Error*)>, std::optional<Error>>> told;
  told.reserve(batch.size());
  const auto all = [&] {
    for (auto& job : batch) job.work(store_);
  };
  const bool together = !store_.transaction(all);
  for (auto& job : batch) {
    std::optional<Error> error;
    if (!together) error = store_.transaction([&] { job.work(store_); });
    if (error && is_to_tell(*error)) log_.error("{}", error->message);
    if (job.done) told.emplace_back(std::move(job.done), std::move(error));
  }
  in_memory_ = store_.in_memory();
  if (told.empty()) return;
  boost::asio::post(loop_, [told = std::move(told), alive = std::weak_ptr<bool>(alive_)] {
    for (const auto& [done, error] : told) {
      if (alive.expired()) return;
      done(error ? &*error : nullptr);
    }
  });
}

void JournalFile::tell_watches(const Rows& rows) {
  if (watches_.empty()) return;
  for (const auto& row : rows) {
    tell_watches_of(row.token, row);
    if (!row.token.empty()) tell_watches_of({}, row);
  }
}

void JournalFile::tell_watches_of(const std::string& token, const HistoryRow& row) {
  std::vector<Watch*> interested;
  const auto [begin, end] = watches_.equal_range(token);
  for (auto entry = begin; entry != end; ++entry) interested.push_back(entry->second);
  for (Watch* watch : interested) {
    // A callback may end any watch: look again before each call.
    const auto [first, last] = watches_.equal_range(token);
    const bool still = std::any_of(first, last, [watch](const auto& entry) { return entry.second == watch; });
    if (!still) continue;
    const auto on_row = watch->on_row;
    on_row(row);
  }
}

std::shared_ptr<void> JournalFile::watch(std::string token, std::function<void(const HistoryRow&)> on_row) {
  auto* watch = new Watch{std::move(token), std::move(on_row)};
  watches_.emplace(watch->token, watch);
  return std::shared_ptr<void>(watch, [this, alive = std::weak_ptr<bool>(alive_)](void* pointer) {
    auto* ended = static_cast<Watch*>(pointer);
    if (!alive.expired()) {
      auto [first, last] = watches_.equal_range(ended->token);
      auto found = std::find_if(first, last, [ended](const auto& entry) { return entry.second == ended; });
      if (found != last) watches_.erase(found);
    }
    delete ended;
  });
}

template <class T>
void JournalFile::ask(std::function<T(Store&)> query, std::function<void(Result<T>)> done, std::size_t bytes) {
  auto result = std::make_shared<T>();
  Job job;
  job.bytes = bytes;
  job.work = [query = std::move(query), result](Store& store) { *result = query(store); };
  job.done = [result, done = std::move(done)](const Error* error) {
    if (!done) return;
    if (error)
      done(*error);
    else
      done(std::move(*result));
  };
  enqueue(std::move(job));
}

void JournalFile::command(std::function<void(Store&)> work, std::function<void(Result<void>)> done, std::size_t bytes) {
  Job job;
  job.bytes = bytes;
  job.work = std::move(work);
  if (done) job.done = [done = std::move(done)](const Error* error) { done(error ? Result<void>(*error) : Result<void>()); };
  enqueue(std::move(job));
}

void JournalFile::write_then(std::vector<NewRow> rows, std::function<void(Store&)> more, std::function<void(Result<void>)> done,
                             std::size_t bytes) {
  auto stored = std::make_shared<Rows>();
  Job job;
  job.bytes = bytes;
  job.work = [rows = std::move(rows), more = std::move(more), stored](Store& store) {
    *stored = store.insert(rows);
    if (more) more(store);
  };
  job.done = [this, stored, done = std::move(done)](const Error* error) {
    if (!error) tell_watches(*stored);
    if (done) done(error ? Result<void>(*error) : Result<void>());
  };
  enqueue(std::move(job));
}

void JournalFile::write(std::vector<NewRow> rows, std::function<void(Result<void>)> done) {
  const auto bytes = bytes_of(rows);
  write_then(std::move(rows), {}, std::move(done), bytes);
}

void JournalFile::store_fetched(std::string node, double newest_ctime, std::vector<NewRow> rows, std::function<void(Result<void>)> done) {
  auto mark = [node = std::move(node), newest_ctime](Store& store) { store.set_fetched_until(node, newest_ctime); };
  const auto bytes = bytes_of(rows);
  write_then(std::move(rows), std::move(mark), std::move(done), bytes);
}

void JournalFile::read(HistoryFilter filter, std::function<void(Result<Rows>)> done) {
  ask<Rows>([filter = std::move(filter)](Store& store) { return store.select(filter); }, std::move(done));
}

void JournalFile::fetched_until(std::string node, std::function<void(Result<double>)> done) {
  ask<double>([node = std::move(node)](Store& store) { return store.fetched_until(node); }, std::move(done));
}

void JournalFile::fingerprint_of(std::string target, std::function<void(Result<std::optional<std::string>>)> done) {
  ask<std::optional<std::string>>([target = std::move(target)](Store& store) { return store.fingerprint_of(target); }, std::move(done));
}

void JournalFile::pin_fingerprint(std::string target, std::string thumbprint, std::function<void(Result<void>)> done) {
  command([target = std::move(target), thumbprint = std::move(thumbprint)](Store& store) { store.pin_fingerprint(target, thumbprint); },
          std::move(done));
}

void JournalFile::note_refused_key(std::string target, std::string node, std::string thumbprint) {
  RefusedKey key{std::move(target), std::move(node), {}, std::move(thumbprint), static_cast<std::int64_t>(std::time(nullptr))};
  command([key = std::move(key)](Store& store) { store.note_refused_key(key); }, {});
}

void JournalFile::store_outgoing(StoredMessage message, bool is_passed_on, std::function<void(Result<bool>)> done) {
  const auto bytes = bytes_of(message);
  ask<bool>([message = std::move(message), is_passed_on](Store& store) { return store.store_outgoing(message, is_passed_on); },
            std::move(done), bytes);
}

void JournalFile::forget_outgoing(std::string delivery, std::function<void(Result<void>)> done) {
  command([delivery = std::move(delivery)](Store& store) { store.forget_outgoing(delivery); }, std::move(done));
}

void JournalFile::give_up_outgoing(std::string delivery, NewRow row) {
  std::vector<NewRow> rows;
  rows.push_back(std::move(row));
  write_then(
      std::move(rows), [delivery = std::move(delivery)](Store& store) { store.forget_outgoing(delivery); }, {}, 0);
}

void JournalFile::outgoing(std::function<void(Result<std::vector<StoredMessage>>)> done) {
  ask<std::vector<StoredMessage>>([](Store& store) { return store.outgoing(); }, std::move(done));
}

void JournalFile::store_incoming(StoredMessage message, std::function<void(Result<bool>)> done) {
  const auto bytes = bytes_of(message);
  ask<bool>([message = std::move(message)](Store& store) { return store.store_incoming(message); }, std::move(done), bytes);
}

void JournalFile::begin_incoming(std::string delivery, std::function<void(Result<void>)> done) {
  command([delivery = std::move(delivery)](Store& store) { store.set_incoming(delivery, Progress::begun); }, std::move(done));
}

void JournalFile::end_incoming(std::string delivery) {
  command([delivery = std::move(delivery)](Store& store) { store.set_incoming(delivery, Progress::ended); }, {});
}

// Read once, at the start: what was running when the daemon ended is told, and not run again.
void JournalFile::incoming(std::function<void(Result<std::vector<StoredMessage>>)> done) {
  auto told = std::make_shared<Rows>();
  ask<std::vector<StoredMessage>>(
      [told](Store& store) {
        std::vector<NewRow> rows;
        for (const auto& message : store.incoming(Progress::begun)) {
          const std::string why =
              "the daemon was ended while " + message.action + " ran: what it had done until then is done, and it is not run again";
          rows.push_back(
              NewRow{message.token, code::failed, to_text(json::value(json::object{{"message", why}, {"error", "interrupted"}}))});
          store.set_incoming(message.delivery, Progress::ended);
        }
        *told = store.insert(rows);
        return store.incoming(Progress::taken);
      },
      [this, told, done = std::move(done)](Result<std::vector<StoredMessage>> list) {
        if (list) tell_watches(*told);
        if (list) command([](Store& store) { store.inbox_is_read(); }, {});
        done(std::move(list));
      });
}

void JournalFile::keep_pull_identity(std::string node, std::string routing_id) {
  command([node = std::move(node), identity = wire::to_hex(routing_id)](Store& store) { store.keep_pull_identity(node, identity); }, {});
}

void JournalFile::pull_identities(std::function<void(Result<std::map<std::string, std::string>>)> done) {
  ask<std::map<std::string, std::string>>(
      [](Store& store) {
        std::map<std::string, std::string> all;
        for (const auto& [node, identity] : store.pull_identities())
          if (const auto routing_id = wire::from_hex(identity)) all[node] = *routing_id;
        return all;
      },
      std::move(done));
}

void JournalFile::keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done) {
  const auto bytes = data.size();
  command([collection = std::move(collection), key = std::move(key),
           data = std::move(data)](Store& store) { store.keep(collection, key, data); },
          std::move(done), bytes);
}

void JournalFile::drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done) {
  command([collection = std::move(collection), key = std::move(key)](Store& store) { store.keep(collection, key, {}); }, std::move(done));
}

void JournalFile::kept(std::string collection, std::function<void(Result<Kept>)> done, KeptRange range) {
  ask<Kept>([collection = std::move(collection), range = std::move(range)](Store& store) { return store.kept(collection, range); },
            std::move(done));
}

void JournalFile::purge(Purge what, std::function<void(Result<Purged>)> done) { purge_on(what, {}, std::move(done)); }

// In portions, so that a purge of millions of rows holds up nobody.
void JournalFile::purge_on(Purge what, Purged before, std::function<void(Result<Purged>)> done) {
  ask<Purged>([what](Store& store) { return store.purge(what); },
              [this, what, before, done = std::move(done)](Result<Purged> purged) {
                if (!purged) return done(purged.error());
                Purged all{before.sessions + purged->sessions, before.rows + purged->rows, purged->is_all};
                if (all.is_all) return done(all);
                purge_on(what, all, done);
              });
}

void JournalFile::sessions(std::function<void(Result<std::vector<StoredSession>>)> done) {
  ask<std::vector<StoredSession>>([](Store& store) { return store.sessions(); }, std::move(done));
}

void JournalFile::save_session(StoredSession session) {
  command([session = std::move(session)](Store& store) { store.save_session(session); }, {});
}

void JournalFile::drop_session(std::string identity) {
  command([identity = std::move(identity)](Store& store) { store.drop_session(identity); }, {});
}

}  // namespace gorgone
