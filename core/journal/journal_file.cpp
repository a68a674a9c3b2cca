#include "core/journal/journal_file.hpp"

#include <boost/asio/post.hpp>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "core/journal/schema.hpp"

namespace gorgone {
namespace {

// Seconds with 5 decimals, as deployed daemons store them.
double now_stored() {
  using namespace std::chrono;
  return std::floor(duration<double>(system_clock::now().time_since_epoch()).count() * 1e5) / 1e5;
}

constexpr double smallest_step = 1e-5;

HistoryRow row_of(const sqlite::Statement& statement) {
  HistoryRow row;
  row.id = statement.integer(0);
  row.token = statement.text(1);
  row.code = static_cast<int>(statement.integer(2));
  row.etime = statement.integer(3);
  row.ctime = statement.number(4);
  row.instant = statement.integer(5) != 0;
  row.data = statement.text(6);
  return row;
}

Rows select(sqlite::Database& database, const HistoryFilter& filter) {
  std::string sql = "SELECT id, token, code, etime, ctime, instant, data FROM gorgone_history";
  const char* glue = " WHERE ";
  auto add = [&](bool wanted, const char* condition) {
    if (!wanted) return;
    sql += glue;
    sql += condition;
    glue = " AND ";
  };
  add(filter.id_after.has_value(), "id > ?");
  add(filter.token.has_value(), "token = ?");
  add(filter.ctime_after.has_value(), "ctime > ?");
  add(filter.etime_after.has_value(), "etime > ?");
  add(filter.code.has_value(), "code = ?");
  // The newest are found by ctime, which rises with the id in files of ours and nearly so in others.
  sql += filter.limit ? " ORDER BY id DESC LIMIT ?" : " ORDER BY id";
  auto& statement = database.prepare(sql);
  int index = 1;
  if (filter.id_after) statement.bind(index++, *filter.id_after);
  if (filter.token) statement.bind(index++, *filter.token);
  if (filter.ctime_after) statement.bind(index++, *filter.ctime_after);
  if (filter.etime_after) statement.bind(index++, *filter.etime_after);
  if (filter.code) statement.bind(index++, std::int64_t{*filter.code});
  if (filter.limit) statement.bind(index++, static_cast<std::int64_t>(*filter.limit));
  Rows rows;
  while (statement.step()) rows.push_back(row_of(statement));
  if (filter.limit) std::reverse(rows.begin(), rows.end());
  return rows;
}

}  // namespace

struct JournalFile::Watch {
  std::string token;
  std::function<void(const HistoryRow&)> on_row;
};

JournalFile::JournalFile(boost::asio::io_context& loop, std::string path) : loop_(loop), path_(std::move(path)) {
  open();
  thread_ = std::thread([this] { run(); });
}

JournalFile::~JournalFile() { close(); }

void JournalFile::open() {
  auto attempt = [this](const std::string& path) {
    sqlite::Database database(path);
    database.execute("PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY");
    sqlite::prepare_schema(database);
    auto& newest = database.prepare("SELECT max(ctime) FROM gorgone_history");
    if (newest.step()) last_ctime_ = newest.number(0);
    newest.reset();
    database_ = std::move(database);
  };
  try {
    attempt(path_);
    return;
  } catch (const sqlite::Failure& failure) {
    const int primary = failure.code() & 0xff;
    log_.error("gorgonecore.gorgone_db_name: cannot use database {}: {}", path_, failure.what());
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
      const std::string aside = path_ + ".corrupt-" + std::to_string(std::time(nullptr));
      if (std::rename(path_.c_str(), aside.c_str()) == 0) {
        std::remove((path_ + "-wal").c_str());
        std::remove((path_ + "-shm").c_str());
        log_.error("the corrupt database is kept as {}; starting with an empty one", aside);
        try {
          attempt(path_);
          return;
        } catch (const sqlite::Failure& again) {
          log_.error("cannot make a new database {}: {}", path_, again.what());
        }
      }
    }
  }
  log_.error("history and sessions are kept in memory only, until the daemon is started with a usable database");
  in_memory_ = true;
  attempt(":memory:");
}

void JournalFile::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  database_ = {};
}

void JournalFile::enqueue(Job job) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
    if (queue_.size() > 1) return;  // the thread has been woken for those before
  }
  wake_.notify_one();
}

void JournalFile::run() {
  std::deque<Job> batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::swap(batch, queue_);
    }
    run_batch(batch);
    batch.clear();
  }
}

// All that waited is one transaction. Where that fails, each job gets one of its own, so that one bad job fails alone.
void JournalFile::run_batch(std::deque<Job>& batch) {
  std::vector<std::pair<std::function<void(const Error*)>, std::optional<Error>>> told;
  told.reserve(batch.size());
  const bool together = !run_transaction(batch.begin(), batch.end());
  for (auto job = batch.begin(); job != batch.end(); ++job) {
    std::optional<Error> error;
    if (!together) error = run_transaction(job, job + 1);
    if (error) log_.error("{}: {}", path_, error->message);
    if (job->done) told.emplace_back(std::move(job->done), std::move(error));
  }
  if (told.empty()) return;
  boost::asio::post(loop_, [told = std::move(told), alive = std::weak_ptr<bool>(alive_)] {
    for (const auto& [done, error] : told) {
      if (alive.expired()) return;
      done(error ? &*error : nullptr);
    }
  });
}

std::optional<Error> JournalFile::run_transaction(std::deque<Job>::iterator first, std::deque<Job>::iterator last) {
  try {
    database_.execute("BEGIN IMMEDIATE");
    for (auto job = first; job != last; ++job) job->work(database_);
    database_.execute("COMMIT");
    return {};
  } catch (const sqlite::Failure& failure) {
    Error error{std::string("the database refused: ") + failure.what(), "database"};
    try {
      if (database_.in_transaction()) database_.execute("ROLLBACK");
    } catch (const sqlite::Failure& again) {
      error.message += std::string(", and to roll back: ") + again.what();
    }
    return error;
  }
}

Rows JournalFile::insert(sqlite::Database& database, const std::vector<NewRow>& rows) {
  Rows stored;
  stored.reserve(rows.size());
  auto& statement = database.prepare("INSERT INTO gorgone_history (token, code, etime, ctime, instant, data) VALUES (?, ?, ?, ?, ?, ?)");
  for (const auto& row : rows) {
    HistoryRow full{0, row.token, row.code, row.etime, now_stored(), row.instant, row.data};
    // Strictly rising, so that a reader that asks for what came after the last ctime it saw misses nothing.
    if (full.ctime <= last_ctime_) full.ctime = std::round((last_ctime_ + smallest_step) * 1e5) / 1e5;
    last_ctime_ = full.ctime;
    if (full.etime == 0) full.etime = static_cast<std::int64_t>(std::time(nullptr));
    statement.bind(1, full.token).bind(2, std::int64_t{full.code}).bind(3, full.etime).bind(4, full.ctime);
    statement.bind(5, std::int64_t{full.instant}).bind(6, full.data).step();
    full.id = database.last_row_id();
    stored.push_back(std::move(full));
  }
  return stored;
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

void JournalFile::write(std::vector<NewRow> rows, std::function<void(Result<void>)> done) {
  auto stored = std::make_shared<Rows>();
  Job job;
  job.work = [this, rows = std::move(rows), stored](sqlite::Database& database) { *stored = insert(database, rows); };
  job.done = [this, stored, done = std::move(done)](const Error* error) {
    if (!error) tell_watches(*stored);
    if (done) done(error ? Result<void>(*error) : Result<void>());
  };
  enqueue(std::move(job));
}

template <class T>
void JournalFile::ask(std::function<T(sqlite::Database&)> query, std::function<void(Result<T>)> done) {
  auto result = std::make_shared<T>();
  Job job;
  job.work = [query = std::move(query), result](sqlite::Database& database) { *result = query(database); };
  job.done = [result, done = std::move(done)](const Error* error) {
    if (!done) return;
    if (error)
      done(*error);
    else
      done(std::move(*result));
  };
  enqueue(std::move(job));
}

void JournalFile::read(HistoryFilter filter, std::function<void(Result<Rows>)> done) {
  ask<Rows>([filter = std::move(filter)](sqlite::Database& database) { return select(database, filter); }, std::move(done));
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

void JournalFile::store_fetched(std::string node, double newest_ctime, std::vector<NewRow> rows, std::function<void(Result<void>)> done) {
  auto stored = std::make_shared<Rows>();
  Job job;
  job.work = [this, node = std::move(node), newest_ctime, rows = std::move(rows), stored](sqlite::Database& database) {
    *stored = insert(database, rows);
    database.prepare("INSERT OR REPLACE INTO gorgone_synchistory (id, ctime) VALUES (?, ?)").bind(1, node).bind(2, newest_ctime).step();
  };
  job.done = [this, stored, done = std::move(done)](const Error* error) {
    if (!error) tell_watches(*stored);
    if (done) done(error ? Result<void>(*error) : Result<void>());
  };
  enqueue(std::move(job));
}

void JournalFile::fetched_until(std::string node, std::function<void(Result<double>)> done) {
  ask<double>(
      [node = std::move(node)](sqlite::Database& database) {
        auto& statement = database.prepare("SELECT ctime FROM gorgone_synchistory WHERE id = ?").bind(1, node);
        const double ctime = statement.step() ? statement.number(0) : 0;
        statement.reset();
        return ctime;
      },
      std::move(done));
}

void JournalFile::fingerprint_of(std::string target, std::function<void(Result<std::optional<std::string>>)> done) {
  ask<std::optional<std::string>>(
      [target = std::move(target)](sqlite::Database& database) {
        auto& statement = database.prepare("SELECT fingerprint FROM gorgone_target_fingerprint WHERE target = ? ORDER BY id LIMIT 1").bind(1, target);
        std::optional<std::string> found;
        if (statement.step()) found = statement.text(0);
        statement.reset();
        return found;
      },
      std::move(done));
}

void JournalFile::pin_fingerprint(std::string target, std::string thumbprint, std::function<void(Result<void>)> done) {
  Job job;
  job.work = [target = std::move(target), thumbprint = std::move(thumbprint)](sqlite::Database& database) {
    database.prepare("DELETE FROM gorgone_target_fingerprint WHERE target = ?").bind(1, target).step();
    database.prepare("INSERT INTO gorgone_target_fingerprint (target, fingerprint) VALUES (?, ?)").bind(1, target).bind(2, thumbprint).step();
  };
  job.done = [done = std::move(done)](const Error* error) {
    if (done) done(error ? Result<void>(*error) : Result<void>());
  };
  enqueue(std::move(job));
}

void JournalFile::purge(Purge what, std::function<void(Result<Purged>)> done) {
  ask<Purged>(
      [what](sqlite::Database& database) {
        Purged purged;
        database.prepare("DELETE FROM gorgone_identity WHERE coalesce(mtime, ctime) < ?").bind(1, what.sessions_before).step();
        purged.sessions = database.changes();
        database.prepare("DELETE FROM gorgone_history WHERE (instant = 1 AND ctime < ?) OR ctime < ?")
            .bind(1, what.instant_before)
            .bind(2, what.history_before)
            .step();
        purged.rows = database.changes();
        return purged;
      },
      std::move(done));
}

void JournalFile::sessions(std::function<void(Result<std::vector<StoredSession>>)> done) {
  ask<std::vector<StoredSession>>(
      [](sqlite::Database& database) {
        std::vector<StoredSession> sessions;
        auto& statement = database.prepare(
            "SELECT identity, key, coalesce(iv, ''), coalesce(oldkey, ''), coalesce(oldiv, ''), coalesce(ctime, 0), coalesce(mtime, ctime, 0) "
            "FROM gorgone_identity ORDER BY id");
        while (statement.step())
          sessions.push_back({statement.text(0), statement.text(1), statement.text(2), statement.text(3), statement.text(4), statement.integer(5),
                              statement.integer(6)});
        return sessions;
      },
      std::move(done));
}

void JournalFile::save_session(StoredSession session) {
  Job job;
  job.work = [session = std::move(session)](sqlite::Database& database) {
    database.prepare("DELETE FROM gorgone_identity WHERE identity = ?").bind(1, session.identity).step();
    auto& statement = database.prepare("INSERT INTO gorgone_identity (identity, key, iv, oldkey, oldiv, ctime, mtime) VALUES (?, ?, ?, ?, ?, ?, ?)");
    statement.bind(1, session.identity).bind(2, session.key).bind(3, session.iv).bind(4, session.oldkey).bind(5, session.oldiv);
    statement.bind(6, session.ctime).bind(7, session.mtime).step();
  };
  enqueue(std::move(job));
}

void JournalFile::drop_session(std::string identity) {
  Job job;
  job.work = [identity = std::move(identity)](sqlite::Database& database) {
    database.prepare("DELETE FROM gorgone_identity WHERE identity = ?").bind(1, identity).step();
  };
  enqueue(std::move(job));
}

}  // namespace gorgone
