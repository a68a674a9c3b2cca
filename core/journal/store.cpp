#include "core/journal/store.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>

namespace gorgone {
namespace {

constexpr auto attempt_every = std::chrono::seconds(2);
// For a lock of another program: once while the file is in use, and little in the attempts to come back, for all that is asked waits too.
constexpr auto patience = std::chrono::milliseconds(2000), patience_of_attempt = std::chrono::milliseconds(100);
// A disk that spoils each new file is given ever fewer of them, until one has lasted for as long as the longest pause.
constexpr auto longest_pause = std::chrono::seconds(300);
// Corrupt files that are kept beside the database.
constexpr std::size_t kept_max = 10;
constexpr auto complain_every = std::chrono::hours(1);

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

// In gorgone_information: the corrupt file of which something is to be saved yet, whoever is stopped meanwhile.
constexpr const char* to_be_saved = "gorgone_salvage";

void remove_database(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) std::remove((path + suffix).c_str());
}

bool is_corruption(int code) { return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB; }

}  // namespace

Store::Store(std::string path, Tables::Access access) : path_(std::move(path)), access_(access) {
  try {
    open();
    salvage();
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
  if (aside_.empty()) aside_ = file_->information(to_be_saved).value_or("");
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
    return;
  }
  try {
    if (aside_.empty()) aside_ = file_->information(to_be_saved).value_or("");
  } catch (const sqlite::Failure&) {
    return;  // a file of before may lack the table
  }
}

void Store::use_memory() {
  if (memory_) return;
  const auto pause = pause_before_attempt();
  log_.error("history and sessions are kept in memory until {} can be written again; tried {} {} s", path_,
             pause > attempt_every ? "again in" : "every", std::max(pause, attempt_every).count());
  next_id_ = 1;
  try {
    if (file_) next_id_ = file_->newest_id() + 1;
    if (file_) file_->set_patience(patience_of_attempt);
  } catch (const sqlite::Failure&) {
    file_.reset();
  }
  memory_ = std::make_unique<Tables>(":memory:");
  held_ = {};
  waiting_bytes_ = dropped_ = taken_ = 0;
  complaint_.clear();
  next_attempt_ = std::chrono::steady_clock::now() + pause;
}

std::chrono::seconds Store::pause_before_attempt() {
  if (!corrupt_) return attempt_every;
  if (spoilt_ > 0 && std::chrono::steady_clock::now() > last_spoilt_ + longest_pause) spoilt_ = 0;
  if (spoilt_ == 0) return std::chrono::seconds(0);
  return std::min<std::chrono::seconds>(attempt_every * (1 << std::min(spoilt_ - 1, 16)), longest_pause);
}

void Store::put_aside() {
  corrupt_ = false;
  ++spoilt_;
  last_spoilt_ = std::chrono::steady_clock::now();
  // A file that was made since and spoilt at once holds nothing: what is to be saved is in the first.
  if (!aside_.empty()) return remove_database(path_);
  const auto aside = name_aside();
  if (std::rename(path_.c_str(), aside.c_str()) != 0) return;
  for (const char* suffix : {"-wal", "-shm"}) std::rename((path_ + suffix).c_str(), (aside + suffix).c_str());
  log_.error("the corrupt database is kept as {}; starting with an empty one", aside);
  aside_ = aside;
}

// The newest gives way where there are many: the first ones, of before the disk began to fail, hold the history.
std::string Store::name_aside() {
  const std::filesystem::path file(path_);
  const auto begin = file.filename().string() + ".corrupt-";
  std::vector<std::int64_t> kept;
  std::error_code unknown;  // a disk that fails tells nothing: then the renaming does
  for (std::filesystem::directory_iterator it(file.has_parent_path() ? file.parent_path() : ".", unknown), end; !unknown && it != end;
       it.increment(unknown)) {
    const auto name = it->path().filename().string();
    const auto number = name.starts_with(begin) ? name.substr(begin.size()) : std::string();
    if (!number.empty() && number.size() < 19 && number.find_first_not_of("0123456789") == std::string::npos)
      kept.push_back(std::stoll(number));
  }
  std::ranges::sort(kept);
  if (kept.size() >= kept_max) {
    const auto newest = path_ + ".corrupt-" + std::to_string(kept.back());
    log_.error("{} corrupt databases are kept beside {} already: the newest of them, {}, is replaced", kept.size(), path_, newest);
    remove_database(newest);
    return newest;
  }
  std::int64_t when = std::time(nullptr);
  if (!kept.empty()) when = std::max(when, kept.back() + 1);
  return path_ + ".corrupt-" + std::to_string(when);
}

void Store::salvage() {
  if (aside_.empty()) return;
  file_->set_information(to_be_saved, aside_);
  file_->begin();
  const auto tables = file_->salvage_from(aside_);
  file_->set_information(to_be_saved, {});
  file_->commit();
  std::string saved;
  for (const auto& table : tables) {
    if (table.rows > 0) saved += fmt::format("{}{} rows of {}", saved.empty() ? "" : ", ", table.rows, table.table);
    if (table.table.empty())
      log_.error("nothing of {} can be read, sessions, pinned keys and messages on their way are lost: {}", aside_, table.why);
    else if (!table.why.empty())
      log_.error("only {} rows of {} could be read in {}, what stood behind them is lost: {}", table.rows, table.table, aside_, table.why);
  }
  if (!saved.empty()) log_.notice("{} were saved from {}; the history stays there", saved, aside_);
  // An index of the log beside it that reading has made, and an empty log; a log with something in it is kept.
  std::remove((aside_ + "-shm").c_str());
  std::error_code none;
  if (std::filesystem::file_size(aside_ + "-wal", none) == 0 && !none) std::remove((aside_ + "-wal").c_str());
  aside_.clear();
}

void Store::complain(const char* why) {
  const auto now = std::chrono::steady_clock::now();
  if (complaint_ == why && now < complain_again_) return;
  complaint_ = why;
  complain_again_ = now + complain_every;
  log_.warning("{} still cannot be used: {} (in memory: {} rows, {} bytes; told again in {} h)", path_, why, held_.rows, held_.bytes,
               complain_every.count());
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
    come_back();
  } catch (const sqlite::Failure& failure) {
    if (is_corruption(failure.code())) corrupt_ = true;
    next_attempt_ = std::chrono::steady_clock::now() + pause_before_attempt();
    try {
      if (file_) file_->rollback();
    } catch (const sqlite::Failure&) {
      file_.reset();
    }
    if (!file_) open_for_reading();
    measure();
    complain(failure.what());
  }
}

void Store::come_back() {
  salvage();
  // Each portion is in the file whatever becomes of the next: a disk with a little room takes a little.
  for (;;) {
    file_->begin();
    const auto last = file_->take_rows(*memory_);
    file_->commit();
    if (!last) break;
    taken_ += memory_->drop_until(*last);
  }
  file_->begin();
  note_inbox();
  file_->take_over(*memory_);
  file_->commit();
  log_.info("{} is in use again, {} rows were taken over from memory", path_, taken_);
  if (dropped_ > 0) log_.error("{} rows of the history were lost while {} could not be written", dropped_, path_);
  memory_.reset();
  file_->set_patience(patience);
}

void Store::close() {
  if (!memory_) return;
  next_attempt_ = {};
  try {
    if (file_) file_->set_patience(patience);
  } catch (const sqlite::Failure&) {
    file_.reset();
  }
  recover();
  if (!memory_) return;
  measure();
  log_.error("{} rows of the history and {} accepted messages are lost: {} cannot be written, and the daemon ends: {}",
             held_.rows + dropped_, memory_->messages_size().rows, path_, complaint_);
}

void Store::measure() {
  if (!memory_) return;
  held_ = memory_->history_size();
  waiting_bytes_ = memory_->messages_size().bytes;
}

std::optional<Error> Store::transaction(const std::function<void()>& work) {
  recover();
  for (bool may_mend = true;;) {
    Tables& used = current();
    const auto held = held_;
    const auto waiting_bytes = waiting_bytes_;
    try {
      used.begin();
      work();
      used.commit();
      return {};
    } catch (const Refusal& refusal) {
      used.rollback();
      // Counting what lies there would cost more than what was refused.
      held_ = held;
      waiting_bytes_ = waiting_bytes;
      return Error{refusal.what(), refusal.code};
    } catch (const sqlite::Failure& failure) {
      try {
        used.rollback();
      } catch (const sqlite::Failure&) {
        if (!memory_) file_.reset();
      }
      measure();
      if (memory_ || !is_of_the_file(failure.code())) return Error{std::string("the database refused: ") + failure.what(), "database"};
      log_.error("cannot write to database {}: {}", path_, failure.what());
      corrupt_ = is_corruption(failure.code());
      use_memory();
      // At once: until then nothing is known of what the file can still tell. A disk that spoils the next file too gets no third one.
      if (corrupt_ && std::exchange(may_mend, false)) recover();
    }
  }
}

}  // namespace gorgone
