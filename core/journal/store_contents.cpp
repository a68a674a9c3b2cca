// What is written and read, in the file or in memory; store.cpp says which.
#include "core/journal/store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>

namespace gorgone {
namespace {

// In place of the file: of history, and of messages that wait.
constexpr Tables::Size memory_max{200000, 64 << 20};
constexpr std::int64_t waiting_bytes_max = 64 << 20;
constexpr double smallest_step = 1e-5;
constexpr auto dropped_told_every = std::chrono::seconds(60);

// Seconds with 5 decimals, as deployed daemons store them.
double now_stored() {
  using namespace std::chrono;
  return std::floor(duration<double>(system_clock::now().time_since_epoch()).count() * 1e5) / 1e5;
}

/// Whether there may be more rows behind a portion.
bool is_cut(const Rows& rows, std::size_t portion) {
  std::size_t bytes = 0;
  for (const auto& row : rows) bytes += row.data.size();
  return rows.size() >= portion || bytes >= HistoryFilter::portion_bytes;
}

}  // namespace

Tables* Store::readable() { return memory_ && !corrupt_ ? file_.get() : nullptr; }

bool Store::is_blind() {
  if (!memory_) return false;
  if (!aside_.empty()) return true;
  std::error_code none;
  return !readable() && std::filesystem::file_size(path_, none) > 0 && !none;
}

void Store::refuse_blindly() {
  if (is_blind()) throw Refusal("unreadable", path_ + " cannot be read now, and what it keeps is not known");
}

Rows Store::insert(const std::vector<NewRow>& rows) {
  Rows stored;
  stored.reserve(rows.size());
  for (const auto& row : rows) {
    if (is_here(row) || (row.unless_known && is_alike_here(row))) continue;
    HistoryRow full{memory_ ? next_id_++ : 0, row.token, row.code, row.etime, now_stored(), row.instant, row.data, row.origin};
    // Strictly rising, so that a reader that asks for what came after the last ctime it saw misses nothing.
    if (full.ctime <= last_ctime_) full.ctime = std::round((last_ctime_ + smallest_step) * 1e5) / 1e5;
    last_ctime_ = full.ctime;
    if (full.etime == 0) full.etime = static_cast<std::int64_t>(std::time(nullptr));
    full.id = current().insert(full);
    ++held_.rows;
    held_.bytes += Tables::bytes_of(full);
    stored.push_back(std::move(full));
    if (memory_ && (held_.rows > memory_max.rows || held_.bytes > memory_max.bytes)) make_room();
  }
  return stored;
}

// More than is needed, so that it is not needed for each row.
void Store::make_room() {
  const Tables::Size kept{memory_max.rows - memory_max.rows / 10, memory_max.bytes - memory_max.bytes / 10};
  const auto gone = memory_->drop_oldest({held_.rows - kept.rows, held_.bytes - kept.bytes});
  held_ = {held_.rows - gone.rows, held_.bytes - gone.bytes};
  dropped_ += gone.rows;
  const auto now = std::chrono::steady_clock::now();
  if (now < dropped_told_ + dropped_told_every) return;
  dropped_told_ = now;
  log_.error("{} rows of the history are lost: memory holds {} while {} cannot be written (at most {} rows or {} MB)", dropped_, held_.rows,
             path_, memory_max.rows, memory_max.bytes >> 20);
}

void Store::take_room(const StoredMessage& message) {
  if (!memory_) return;
  const auto bytes = Tables::bytes_of(message);
  if (waiting_bytes_ + bytes > waiting_bytes_max)
    throw Refusal("busy", fmt::format("{} cannot be written, and memory holds {} MB of messages that wait, which is all it may", path_,
                                      waiting_bytes_ >> 20));
  waiting_bytes_ += bytes;
}

bool Store::is_here(const NewRow& row) {
  if (row.origin.empty()) return false;
  auto* file = readable();
  try {
    if (file && file->has(row.origin, row.token, row.code)) return true;
  } catch (const sqlite::Failure& failure) {
    log_.warning("rows in {} cannot be read: {}", path_, failure.what());
  }
  return current().has(row.origin, row.token, row.code);
}

// Rows that were stored before origins were are known by what they say only.
bool Store::is_alike_here(const NewRow& row) {
  HistoryFilter filter;
  filter.token = row.token;
  filter.code = row.code;
  filter.with_origins = true;
  return std::ranges::any_of(
      select(filter), [&](const HistoryRow& known) { return known.origin.empty() && known.etime == row.etime && known.data == row.data; });
}

Rows Store::select(const HistoryFilter& filter) {
  Rows rows;
  if (auto* file = readable()) try {
      rows = file->select(filter);
    } catch (const sqlite::Failure& failure) {
      log_.warning("rows in {} cannot be read: {}", path_, failure.what());
    }
  // Who asks for the next portion asks for what comes behind the newest row of this one.
  if (filter.portion && !filter.limit && is_cut(rows, *filter.portion)) return rows;
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
  // None that is pinned is not the same as none that can be read: the next key that comes would be pinned.
  if (!found) refuse_blindly();
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
  if (is_passed_on && is_known(message.delivery)) return false;
  take_room(message);
  if (is_passed_on) {
    StoredMessage mark;
    mark.delivery = message.delivery;
    mark.until = message.until;
    current().add_incoming(mark, Progress::ended);
  }
  current().add_outgoing(message);
  return true;
}

void Store::forget_outgoing(const std::string& delivery) {
  if (memory_) waiting_bytes_ -= memory_->message_bytes(delivery);
  if (memory_) memory_->set_progress(delivery, Progress::gone);
  current().drop_outgoing(delivery);
}

std::vector<StoredMessage> Store::outgoing() {
  refuse_blindly();
  std::vector<StoredMessage> all;
  if (auto* file = readable())
    for (auto& message : file->outgoing())
      if (current().progress(message.delivery) != Progress::gone) all.push_back(std::move(message));
  for (auto& message : current().outgoing()) all.push_back(std::move(message));
  return all;
}

bool Store::store_incoming(const StoredMessage& message) {
  if (is_known(message.delivery)) return false;
  take_room(message);
  current().add_incoming(message, Progress::taken);
  return true;
}

void Store::set_incoming(const std::string& delivery, Progress progress) {
  if (memory_) waiting_bytes_ -= memory_->message_bytes(delivery);
  current().set_progress(delivery, progress);
}

Journal::Purged Store::purge(const Journal::Purge& what) {
  auto purged = current().purge(what);
  measure();
  return purged;
}

std::vector<StoredMessage> Store::incoming(Progress progress) {
  if (!inbox_) refuse_blindly();
  std::vector<StoredMessage> all;
  if (inbox_)
    all = (*inbox_)[progress];
  else if (auto* file = memory_ ? readable() : file_.get())
    all = file->incoming(progress);
  // Memory has only what has come since, and knows what was begun since.
  std::erase_if(all, [this](const auto& message) { return memory_ && memory_->progress(message.delivery); });
  return all;
}

void Store::note_inbox() {
  if (is_inbox_read_) return;
  std::map<Progress, std::vector<StoredMessage>> found;
  for (const auto progress : {Progress::begun, Progress::taken}) found[progress] = incoming(progress);
  inbox_ = std::move(found);
}

void Store::inbox_is_read() {
  is_inbox_read_ = true;
  inbox_.reset();
}

void Store::keep(const std::string& collection, const std::string& key, const std::optional<std::string>& data) {
  // In memory what was dropped is remembered, for the file may have it.
  if (data || memory_)
    current().keep(collection, key, data);
  else
    current().drop_kept(collection, key);
}

Kept Store::kept(const std::string& collection, KeptRange range) {
  refuse_blindly();
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
