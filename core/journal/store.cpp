#include "core/journal/store.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace gorgone {
namespace {

constexpr auto attempt_every = std::chrono::seconds(2);
// For a lock of another program: once while the file is in use, and little in the attempts to come back, for all that is asked waits too.
constexpr auto patience = std::chrono::milliseconds(2000), patience_of_attempt = std::chrono::milliseconds(100);
constexpr std::int64_t memory_rows_max = 200000;
constexpr double smallest_step = 1e-5;

// Seconds with 5 decimals, as deployed daemons store them.
double now_stored() {
  using namespace std::chrono;
  return std::floor(duration<double>(system_clock::now().time_since_epoch()).count() * 1e5) / 1e5;
}

// Failures of the file, not of what was asked of it.
bool is_of_the_file(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
    case SQLITE_NOTADB:
    case SQLITE_PERM:
      return true;
    default:
      return false;
  }
}

bool is_corruption(int code) { return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB; }

}  // namespace

Store::Store(std::string path, Tables::Access access) : path_(std::move(path)), access_(access) {
  try {
    open();
  } catch (const sqlite::Failure& failure) {
    log_.error("gorgonecore.gorgone_db_name: cannot use database {}: {}", path_, failure.what());
    corrupt_ = is_corruption(failure.code());
    open_for_reading();
    use_memory();
    recover();
  }
}

void Store::open() {
  file_ = std::make_unique<Tables>(path_, access_);
  file_->set_patience(patience);
  for_reading_ = false;
  last_ctime_ = std::max(last_ctime_, file_->newest_ctime());
}

std::string Store::id() {
  try {
    return memory_ ? std::string() : file_->information("journal").value_or("");
  } catch (const sqlite::Failure& failure) {
    log_.error("gorgonecore.gorgone_db_name: cannot read {}: {}", path_, failure.what());
    return {};
  }
}

void Store::open_for_reading() {
  file_.reset();
  if (corrupt_) return;
  try {
    file_ = std::make_unique<Tables>(path_, Tables::Access::read);
    for_reading_ = true;
    last_ctime_ = std::max(last_ctime_, file_->newest_ctime());
  } catch (const sqlite::Failure&) {
    file_.reset();  // there may be nothing, or it is locked; what is wrong has been told
  }
}

void Store::use_memory() {
  if (memory_) return;
  log_.error("history and sessions are kept in memory until {} can be written again; tried every {} s", path_, attempt_every.count());
  next_id_ = 1;
  try {
    if (file_) next_id_ = file_->newest_id() + 1;
    if (file_) file_->set_patience(patience_of_attempt);
  } catch (const sqlite::Failure&) {
    file_.reset();
  }
  memory_ = std::make_unique<Tables>(":memory:");
  next_attempt_ = corrupt_ ? std::chrono::steady_clock::now() : std::chrono::steady_clock::now() + attempt_every;
}

void Store::put_aside() {
  corrupt_ = false;
  const std::string aside = path_ + ".corrupt-" + std::to_string(std::time(nullptr));
  if (std::rename(path_.c_str(), aside.c_str()) != 0) return;
  for (const char* suffix : {"-wal", "-shm"}) std::rename((path_ + suffix).c_str(), (aside + suffix).c_str());
  log_.error("the corrupt database is kept as {}; starting with an empty one", aside);
}

std::optional<std::chrono::steady_clock::time_point> Store::recovery_due() const {
  if (!memory_) return {};
  return next_attempt_;
}

void Store::recover() {
  if (!memory_ || std::chrono::steady_clock::now() < next_attempt_) return;
  next_attempt_ = std::chrono::steady_clock::now() + attempt_every;
  try {
    if (corrupt_) {
      file_.reset();
      put_aside();
    }
    if (!file_ || for_reading_) open();
    file_->begin();
    file_->take_over(*memory_);
    file_->commit();
    log_.info("{} is in use again, {} rows were taken over from memory", path_, memory_->count());
    memory_.reset();
    file_->set_patience(patience);
  } catch (const sqlite::Failure& failure) {
    if (is_corruption(failure.code())) corrupt_ = true;
    log_.warning("{} still cannot be used: {}", path_, failure.what());
    try {
      if (file_) file_->rollback();
    } catch (const sqlite::Failure&) {
      file_.reset();
    }
    if (!file_) open_for_reading();
  }
}

std::optional<Error> Store::transaction(const std::function<void()>& work) {
  recover();
  for (;;) {
    Tables& used = current();
    try {
      used.begin();
      work();
      used.commit();
      return {};
    } catch (const sqlite::Failure& failure) {
      try {
        used.rollback();
      } catch (const sqlite::Failure&) {
        if (!memory_) file_.reset();
      }
      if (memory_ || !is_of_the_file(failure.code())) return Error{std::string("the database refused: ") + failure.what(), "database"};
      log_.error("cannot write to database {}: {}", path_, failure.what());
      corrupt_ = is_corruption(failure.code());
      use_memory();
    }
  }
}

Tables* Store::readable() { return memory_ && !corrupt_ ? file_.get() : nullptr; }

Rows Store::insert(const std::vector<NewRow>& rows) {
  Rows stored;
  stored.reserve(rows.size());
  for (const auto& row : rows) {
    if (row.unless_known && has(row)) continue;
    HistoryRow full{memory_ ? next_id_++ : 0, row.token, row.code, row.etime, now_stored(), row.instant, row.data};
    // Strictly rising, so that a reader that asks for what came after the last ctime it saw misses nothing.
    if (full.ctime <= last_ctime_) full.ctime = std::round((last_ctime_ + smallest_step) * 1e5) / 1e5;
    last_ctime_ = full.ctime;
    if (full.etime == 0) full.etime = static_cast<std::int64_t>(std::time(nullptr));
    full.id = current().insert(full);
    stored.push_back(std::move(full));
  }
  if (memory_ && memory_->count() > memory_rows_max) {
    const auto dropped = memory_->drop_oldest(memory_rows_max - memory_rows_max / 10);
    dropped_ += dropped;
    log_.error("{} rows of the history are lost: memory holds {} while {} cannot be written", dropped_, memory_rows_max, path_);
  }
  return stored;
}

bool Store::has(const NewRow& row) {
  HistoryFilter filter;
  filter.token = row.token;
  filter.code = row.code;
  return std::ranges::any_of(select(filter), [&](const HistoryRow& known) { return known.etime == row.etime && known.data == row.data; });
}

Rows Store::select(const HistoryFilter& filter) {
  Rows rows;
  if (auto* file = readable()) try {
      rows = file->select(filter);
    } catch (const sqlite::Failure& failure) {
      log_.warning("rows in {} cannot be read: {}", path_, failure.what());
    }
  auto newer = current().select(filter);
  rows.insert(rows.end(), std::make_move_iterator(newer.begin()), std::make_move_iterator(newer.end()));
  if (filter.limit && rows.size() > *filter.limit) rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(*filter.limit));
  return rows;
}

std::vector<StoredSession> Store::sessions() {
  auto sessions = current().sessions();
  if (auto* file = readable())
    for (auto& session : file->sessions()) sessions.push_back(std::move(session));
  return sessions;
}

void Store::drop_session(const std::string& identity) { current().drop_session(identity); }

std::optional<std::string> Store::fingerprint_of(const std::string& target) {
  auto found = current().fingerprint_of(target);
  if (auto* file = readable(); file && !found) found = file->fingerprint_of(target);
  return found;
}

double Store::fetched_until(const std::string& node) {
  auto ctime = current().fetched_until(node);
  if (auto* file = readable(); file && !ctime) ctime = file->fetched_until(node);
  return ctime.value_or(0);
}

bool Store::is_known(const std::string& delivery) {
  auto* file = readable();
  return current().progress(delivery) || (file && file->progress(delivery));
}

bool Store::store_outgoing(const StoredMessage& message, bool is_passed_on) {
  if (is_passed_on) {
    if (is_known(message.delivery)) return false;
    StoredMessage mark;
    mark.delivery = message.delivery;
    mark.until = message.until;
    current().add_incoming(mark, Progress::ended);
  }
  current().add_outgoing(message);
  return true;
}

void Store::forget_outgoing(const std::string& delivery) {
  if (memory_) memory_->set_progress(delivery, Progress::gone);
  current().drop_outgoing(delivery);
}

std::vector<StoredMessage> Store::outgoing() {
  std::vector<StoredMessage> all;
  if (auto* file = readable())
    for (auto& message : file->outgoing())
      if (current().progress(message.delivery) != Progress::gone) all.push_back(std::move(message));
  for (auto& message : current().outgoing()) all.push_back(std::move(message));
  return all;
}

bool Store::store_incoming(const StoredMessage& message) {
  if (is_known(message.delivery)) return false;
  current().add_incoming(message, Progress::taken);
  return true;
}

std::vector<StoredMessage> Store::incoming(Progress progress) {
  std::vector<StoredMessage> all;
  if (auto* file = readable())
    for (auto& message : file->incoming(progress))
      if (!current().progress(message.delivery)) all.push_back(std::move(message));
  for (auto& message : current().incoming(progress)) all.push_back(std::move(message));
  return all;
}

void Store::keep(const std::string& collection, const std::string& key, const std::optional<std::string>& data) {
  // In memory what was dropped is remembered, for the file may have it.
  if (data || memory_)
    current().keep(collection, key, data);
  else
    current().drop_kept(collection, key);
}

Kept Store::kept(const std::string& collection, KeptRange range) {
  for (;;) {
    auto newer = current().kept(collection, range);
    auto* file = readable();
    auto older = file ? file->kept(collection, range) : Tables::Records{};
    // Where one of them ends before its range does, nothing is known of what comes behind in it.
    std::optional<std::string> known_until;
    for (const auto* part : {&newer, &older})
      if (!part->is_all && (!known_until || part->records.rbegin()->first < *known_until)) known_until = part->records.rbegin()->first;
    for (auto& [key, data] : older.records) newer.records.try_emplace(key, std::move(data));
    Kept all;
    for (auto& [key, data] : newer.records)
      if (data && (!known_until || key <= *known_until)) all.emplace(key, std::move(*data));
    if (!all.empty() || !known_until) return all;
    range.from = *known_until + '\0';
  }
}

std::map<std::string, std::string> Store::pull_identities() {
  std::map<std::string, std::string> all;
  if (auto* file = readable()) all = file->pull_identities();
  for (auto& [node, identity] : current().pull_identities()) all[node] = identity;
  std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
  return all;
}

}  // namespace gorgone
