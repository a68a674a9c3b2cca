#include "core/journal/tables.hpp"

#include <algorithm>
#include <ctime>

#include "core/journal/schema.hpp"

namespace gorgone {
namespace {

constexpr std::int64_t purge_portion = 5000;
constexpr std::size_t taken_portion = 1000;
// Of the newest rows, however many are asked for.
constexpr std::size_t newest_bytes_max = std::size_t{16} << 20;
// What a row or a message costs beside its text.
constexpr std::int64_t row_bytes = 100, message_bytes_least = 200;

HistoryRow row_of(const sqlite::Statement& statement) {
  HistoryRow row;
  row.id = statement.integer(0);
  row.token = statement.text(1);
  row.code = static_cast<int>(statement.integer(2));
  row.etime = statement.integer(3);
  row.ctime = statement.number(4);
  row.instant = statement.integer(5) != 0;
  row.data = statement.text(6);
  row.origin = statement.text(7);
  return row;
}

// The first column of the first row, as `get` reads it; nothing where there is no row or it is NULL.
template <class Get>
auto first(sqlite::Statement& statement, Get get) -> std::optional<decltype(get(statement))> {
  std::optional<decltype(get(statement))> value;
  if (statement.step() && !statement.is_null(0)) value = get(statement);
  statement.reset();
  return value;
}

std::int64_t integer(const sqlite::Statement& statement) { return statement.integer(0); }
double number(const sqlite::Statement& statement) { return statement.number(0); }
std::string text(const sqlite::Statement& statement) { return statement.text(0); }

}  // namespace

Tables::Tables(const std::string& path, Access access) : database_(path, access == Access::read) {
  database_.execute("PRAGMA busy_timeout = 100; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY");
  if (access != Access::read) {
    database_.execute("PRAGMA journal_mode = WAL");
    database_.execute(access == Access::write_through ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    sqlite::prepare_schema(database_);
  } else {
    has_origins_ = first(database_.prepare("SELECT 1 FROM sqlite_master WHERE name = 'gorgone_origin'"), integer).has_value();
  }
}

void Tables::set_patience(std::chrono::milliseconds patience) {
  database_.execute("PRAGMA busy_timeout = " + std::to_string(patience.count()));
}

void Tables::rollback() {
  if (database_.in_transaction()) database_.execute("ROLLBACK");
}

std::int64_t Tables::insert(const HistoryRow& row) {
  auto& statement = database_.prepare(
      "INSERT INTO gorgone_history (id, token, code, etime, ctime, instant, data) VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?)");
  statement.bind(1, row.id).bind(2, row.token).bind(3, std::int64_t{row.code}).bind(4, row.etime).bind(5, row.ctime);
  statement.bind(6, std::int64_t{row.instant}).bind(7, row.data).step();
  const auto id = database_.last_row_id();
  if (!row.origin.empty())
    database_.prepare("INSERT OR REPLACE INTO gorgone_origin (id, origin) VALUES (?, ?)").bind(1, id).bind(2, row.origin).step();
  return id;
}

// A token and a code are compared too: a journal that was made anew under a clock that was set back may come to a ctime twice.
bool Tables::has(const std::string& origin, const std::string& token, int code) {
  if (origin.empty() || !has_origins_) return false;
  const char* sql =
      "SELECT 1 FROM gorgone_origin AS o CROSS JOIN gorgone_history AS h ON h.id = o.id WHERE o.origin = ? AND +h.token = ? AND +h.code = "
      "?";
  return first(database_.prepare(sql).bind(1, origin).bind(2, token).bind(3, std::int64_t{code}), integer).has_value();
}

Rows Tables::select(const HistoryFilter& filter) {
  std::string sql = "SELECT id, token, code, etime, ctime, instant, data, ";
  sql += has_origins_ && filter.with_origins ? "(SELECT origin FROM gorgone_origin AS o WHERE o.id = gorgone_history.id)" : "NULL";
  sql += " FROM gorgone_history";
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
  // In a portion not by its own index: all rows of the code would be put into order first, in memory.
  add(filter.code.has_value(), filter.portion ? "+code = ?" : "code = ?");
  // Within a portion the order is that by which the next one is asked for.
  const bool by_ctime = filter.portion && !filter.limit && (filter.ctime_after || !filter.id_after);
  sql += filter.limit ? " ORDER BY id DESC LIMIT ?" : by_ctime ? " ORDER BY ctime" : " ORDER BY id";
  auto& statement = database_.prepare(sql);
  int index = 1;
  if (filter.id_after) statement.bind(index++, *filter.id_after);
  if (filter.token) statement.bind(index++, *filter.token);
  if (filter.ctime_after) statement.bind(index++, *filter.ctime_after);
  if (filter.etime_after) statement.bind(index++, *filter.etime_after);
  if (filter.code) statement.bind(index++, std::int64_t{*filter.code});
  if (filter.limit) statement.bind(index++, static_cast<std::int64_t>(*filter.limit));
  Rows rows;
  std::size_t bytes = 0;
  for (bool is_full = false; statement.step();) {
    auto row = row_of(statement);
    // Rows of one ctime stay together: whoever asks for what comes behind it would not see the others.
    if (is_full && !(by_ctime && row.ctime == rows.back().ctime)) break;
    bytes += row.data.size();
    rows.push_back(std::move(row));
    if (filter.portion)
      is_full = bytes >= HistoryFilter::portion_bytes || (!filter.limit && rows.size() >= *filter.portion);
    else if (filter.limit)
      is_full = bytes >= newest_bytes_max;
  }
  statement.reset();  // one that stopped half way would keep the file's log from being taken in
  if (filter.limit) std::reverse(rows.begin(), rows.end());
  return rows;
}

std::int64_t Tables::newest_id() { return first(database_.prepare("SELECT max(id) FROM gorgone_history"), integer).value_or(0); }
double Tables::newest_ctime() { return first(database_.prepare("SELECT max(ctime) FROM gorgone_history"), number).value_or(0); }

std::int64_t Tables::bytes_of(const HistoryRow& row) { return row_bytes + static_cast<std::int64_t>(row.token.size() + row.data.size()); }

Tables::Size Tables::history_size() {
  auto& statement =
      database_.prepare("SELECT count(*), coalesce(sum(length(CAST(token AS BLOB)) + length(CAST(data AS BLOB))), 0) FROM gorgone_history");
  statement.step();
  const Size text{statement.integer(0), statement.integer(1)};
  statement.reset();
  return {text.rows, text.bytes + text.rows * row_bytes};
}

Tables::Size Tables::drop_oldest(Size least) {
  Size gone;
  std::int64_t last = 0;
  auto& rows = database_.prepare("SELECT id, length(CAST(token AS BLOB)) + length(CAST(data AS BLOB)) FROM gorgone_history ORDER BY id");
  while ((gone.rows < least.rows || gone.bytes < least.bytes) && rows.step()) {
    last = rows.integer(0);
    gone.bytes += rows.integer(1) + row_bytes;
    ++gone.rows;
  }
  rows.reset();
  drop_until(last);
  return gone;
}

std::int64_t Tables::drop_until(std::int64_t id) {
  database_.prepare("DELETE FROM gorgone_history WHERE id <= ?").bind(1, id).step();
  return database_.changes();
}

std::optional<std::string> Tables::information(const std::string& key) {
  return first(database_.prepare("SELECT value FROM gorgone_information WHERE key = ?").bind(1, key), text);
}

void Tables::set_information(const std::string& key, const std::string& value) {
  if (value.empty())
    database_.prepare("DELETE FROM gorgone_information WHERE key = ?").bind(1, key).step();
  else
    database_.prepare("INSERT OR REPLACE INTO gorgone_information (key, value) VALUES (?, ?)").bind(1, key).bind(2, value).step();
}

std::vector<StoredSession> Tables::sessions() {
  std::vector<StoredSession> sessions;
  auto& statement = database_.prepare(
      "SELECT identity, key, coalesce(iv, ''), coalesce(oldkey, ''), coalesce(oldiv, ''), coalesce(ctime, 0), coalesce(mtime, ctime, 0) "
      "FROM gorgone_identity ORDER BY id");
  while (statement.step())
    sessions.push_back({statement.text(0), statement.text(1), statement.text(2), statement.text(3), statement.text(4), statement.integer(5),
                        statement.integer(6)});
  return sessions;
}

void Tables::save_session(const StoredSession& session) {
  drop_session(session.identity);
  auto& statement =
      database_.prepare("INSERT INTO gorgone_identity (identity, key, iv, oldkey, oldiv, ctime, mtime) VALUES (?, ?, ?, ?, ?, ?, ?)");
  statement.bind(1, session.identity).bind(2, session.key).bind(3, session.iv).bind(4, session.oldkey).bind(5, session.oldiv);
  statement.bind(6, session.ctime).bind(7, session.mtime).step();
}

void Tables::drop_session(const std::string& identity) {
  database_.prepare("DELETE FROM gorgone_identity WHERE identity = ?").bind(1, identity).step();
}

std::optional<std::string> Tables::fingerprint_of(const std::string& target) {
  return first(database_.prepare("SELECT fingerprint FROM gorgone_target_fingerprint WHERE target = ? ORDER BY id LIMIT 1").bind(1, target),
               text);
}

void Tables::pin_fingerprint(const std::string& target, const std::string& thumbprint) {
  database_.prepare("DELETE FROM gorgone_target_fingerprint WHERE target = ?").bind(1, target).step();
  database_.prepare("INSERT INTO gorgone_target_fingerprint (target, fingerprint) VALUES (?, ?)")
      .bind(1, target)
      .bind(2, thumbprint)
      .step();
}

void Tables::add_refused_key(const RefusedKey& key) {
  auto& statement = database_.prepare("INSERT OR REPLACE INTO gorgone_refused_key (target, node, thumbprint, seen) VALUES (?, ?, ?, ?)");
  statement.bind(1, key.target).bind(2, key.node).bind(3, key.offered).bind(4, key.seen).step();
}

void Tables::forget_refused_key(const std::string& target) {
  database_.prepare("DELETE FROM gorgone_refused_key WHERE target = ?").bind(1, target).step();
}

std::vector<RefusedKey> Tables::refused_keys() {
  std::vector<RefusedKey> keys;
  auto& statement = database_.prepare("SELECT target, node, thumbprint, seen FROM gorgone_refused_key ORDER BY seen DESC");
  while (statement.step()) keys.push_back({statement.text(0), statement.text(1), {}, statement.text(2), statement.integer(3)});
  return keys;
}

std::optional<double> Tables::fetched_until(const std::string& node) {
  return first(database_.prepare("SELECT ctime FROM gorgone_synchistory WHERE id = ?").bind(1, node), number);
}

void Tables::set_fetched_until(const std::string& node, double ctime) {
  database_.prepare("INSERT OR REPLACE INTO gorgone_synchistory (id, ctime) VALUES (?, ?)").bind(1, node).bind(2, ctime).step();
}

std::vector<StoredMessage> Tables::messages(sqlite::Statement& statement) {
  std::vector<StoredMessage> list;
  while (statement.step())
    list.push_back({statement.text(0), statement.text(1), statement.text(2), statement.text(3), statement.text(4), statement.integer(5)});
  return list;
}

void Tables::add_outgoing(const StoredMessage& message) {
  auto& statement =
      database_.prepare("INSERT OR IGNORE INTO gorgone_outbox (delivery, action, token, target, data, until) VALUES (?, ?, ?, ?, ?, ?)");
  statement.bind(1, message.delivery).bind(2, message.action).bind(3, message.token).bind(4, message.target);
  statement.bind(5, message.data).bind(6, message.until).step();
}

void Tables::drop_outgoing(const std::string& delivery) {
  database_.prepare("DELETE FROM gorgone_outbox WHERE delivery = ?").bind(1, delivery).step();
}

std::vector<StoredMessage> Tables::outgoing() {
  return messages(database_.prepare("SELECT delivery, action, token, target, data, until FROM gorgone_outbox ORDER BY id"));
}

std::int64_t Tables::bytes_of(const StoredMessage& message) { return message_bytes_least + static_cast<std::int64_t>(message.data.size()); }

std::int64_t Tables::message_bytes(const std::string& delivery) {
  auto& statement = database_.prepare(
      "SELECT sum(bytes) FROM (SELECT length(CAST(data AS BLOB)) + ?2 AS bytes FROM gorgone_outbox WHERE delivery = ?1 UNION ALL "
      "SELECT length(CAST(data AS BLOB)) + ?2 FROM gorgone_delivery WHERE delivery = ?1 AND progress = 0)");
  return first(statement.bind(1, delivery).bind(2, message_bytes_least), integer).value_or(0);
}

Tables::Size Tables::messages_size() {
  auto& statement = database_.prepare(
      "SELECT count(*), coalesce(sum(bytes), 0) FROM (SELECT length(CAST(data AS BLOB)) + ?1 AS bytes FROM gorgone_outbox UNION ALL "
      "SELECT length(CAST(data AS BLOB)) + ?1 FROM gorgone_delivery WHERE progress = 0)");
  statement.bind(1, message_bytes_least).step();
  const Size size{statement.integer(0), statement.integer(1)};
  statement.reset();
  return size;
}

void Tables::add_incoming(const StoredMessage& message, Progress progress) {
  auto& statement = database_.prepare(
      "INSERT OR IGNORE INTO gorgone_delivery (delivery, progress, action, token, data, until) VALUES (?, ?, ?, ?, ?, ?)");
  statement.bind(1, message.delivery).bind(2, static_cast<std::int64_t>(progress)).bind(3, message.action).bind(4, message.token);
  statement.bind(5, message.data).bind(6, message.until).step();
}

void Tables::set_progress(const std::string& delivery, Progress progress) {
  database_
      .prepare(
          "INSERT INTO gorgone_delivery (delivery, progress, until) VALUES (?, ?, ?) "
          "ON CONFLICT (delivery) DO UPDATE SET progress = excluded.progress, data = NULL")
      .bind(1, delivery)
      .bind(2, static_cast<std::int64_t>(progress))
      .bind(3, static_cast<std::int64_t>(std::time(nullptr)))
      .step();
}

std::optional<Progress> Tables::progress(const std::string& delivery) {
  const auto found = first(database_.prepare("SELECT progress FROM gorgone_delivery WHERE delivery = ?").bind(1, delivery), integer);
  return found ? std::optional(static_cast<Progress>(*found)) : std::nullopt;
}

std::vector<StoredMessage> Tables::incoming(Progress progress) {
  auto& statement = database_.prepare(
      "SELECT delivery, coalesce(action, ''), coalesce(token, ''), '', coalesce(data, ''), until FROM gorgone_delivery WHERE progress = ? "
      "ORDER BY "
      "id");
  return messages(statement.bind(1, static_cast<std::int64_t>(progress)));
}

void Tables::set_pull_identity(const std::string& node, const std::string& identity) {
  database_.prepare("INSERT OR REPLACE INTO gorgone_pull_identity (node, identity) VALUES (?, ?)").bind(1, node).bind(2, identity).step();
}

std::map<std::string, std::string> Tables::pull_identities() {
  std::map<std::string, std::string> all;
  auto& statement = database_.prepare("SELECT node, identity FROM gorgone_pull_identity");
  while (statement.step()) all[statement.text(0)] = statement.text(1);
  return all;
}

void Tables::keep(const std::string& collection, const std::string& key, const std::optional<std::string>& data) {
  auto& statement = database_.prepare("INSERT OR REPLACE INTO gorgone_kept (collection, key, data) VALUES (?, ?, CAST(? AS BLOB))");
  statement.bind(1, collection).bind(2, key);
  if (data) statement.bind(3, *data);
  statement.step();
}

void Tables::drop_kept(const std::string& collection, const std::string& key) {
  database_.prepare("DELETE FROM gorgone_kept WHERE collection = ? AND key = ?").bind(1, collection).bind(2, key).step();
}

Tables::Records Tables::kept(const std::string& collection, const KeptRange& range) {
  Records found;
  std::size_t bytes = 0;
  auto& statement =
      database_.prepare("SELECT key, data FROM gorgone_kept WHERE collection = ?1 AND key >= ?2 AND (?3 = '' OR key < ?3) ORDER BY key");
  statement.bind(1, collection).bind(2, range.from).bind(3, range.until);
  while (statement.step()) {
    if (range.limit > 0 && (found.records.size() == range.limit || bytes >= KeptRange::portion_bytes)) {
      found.is_all = false;
      break;
    }
    auto& data = found.records[statement.text(0)];
    if (!statement.is_null(1)) data = statement.text(1);
    bytes += data ? data->size() : 0;
  }
  statement.reset();
  return found;
}

Journal::Purged Tables::purge(const Journal::Purge& what) {
  Journal::Purged purged;
  database_.prepare("DELETE FROM gorgone_identity WHERE coalesce(mtime, ctime) < ?").bind(1, what.sessions_before).step();
  purged.sessions = database_.changes();
  // Who has no session any more will say who he is when he opens one.
  database_.prepare("DELETE FROM gorgone_pull_identity WHERE identity NOT IN (SELECT identity FROM gorgone_identity)").step();
  database_.prepare("DELETE FROM gorgone_delivery WHERE progress >= 2 AND until < ?").bind(1, what.deliveries_before).step();
  database_.prepare("DELETE FROM gorgone_refused_key WHERE seen < ?").bind(1, what.refused_keys_before).step();
  database_
      .prepare(
          "DELETE FROM gorgone_history WHERE id IN (SELECT id FROM gorgone_history WHERE (instant = 1 AND ctime < ?) OR ctime < ? LIMIT ?)")
      .bind(1, what.instant_before)
      .bind(2, what.history_before)
      .bind(3, purge_portion)
      .step();
  purged.rows = database_.changes();
  purged.is_all = purged.rows < purge_portion;
  return purged;
}

std::optional<std::int64_t> Tables::take_rows(Tables& other) {
  HistoryFilter oldest;
  oldest.portion = taken_portion;
  oldest.with_origins = true;
  std::optional<std::int64_t> last;
  auto newest = newest_id();
  for (auto& row : other.select(oldest)) {
    last = row.id;
    // Nobody could look into the file when it was fetched, nor see what had been fetched.
    if (has(row.origin, row.token, row.code)) continue;
    if (row.id <= newest) row.id = 0;
    newest = insert(row);
  }
  return last;
}

void Tables::take_over(Tables& other) {
  for (const auto& session : other.sessions()) save_session(session);
  auto& pins = other.database_.prepare("SELECT target, fingerprint FROM gorgone_target_fingerprint");
  // Of keys met for the first time; what stands here was pinned before, or by an administrator meanwhile.
  while (pins.step())
    if (!fingerprint_of(pins.text(0))) pin_fingerprint(pins.text(0), pins.text(1));
  auto& fetched = other.database_.prepare("SELECT id, ctime FROM gorgone_synchistory");
  while (fetched.step()) set_fetched_until(fetched.text(0), fetched.number(1));
  for (const auto& key : other.refused_keys()) add_refused_key(key);
  auto& deliveries = other.database_.prepare("SELECT delivery, progress, action, token, data, until FROM gorgone_delivery ORDER BY id");
  while (deliveries.step()) {
    const auto progress = static_cast<Progress>(deliveries.integer(1));
    const auto delivery = deliveries.text(0);
    add_incoming({delivery, deliveries.text(2), deliveries.text(3), {}, deliveries.text(4), deliveries.integer(5)}, progress);
    if (progress != Progress::taken) set_progress(delivery, progress);
    if (progress == Progress::gone) drop_outgoing(delivery);
  }
  for (const auto& message : other.outgoing()) add_outgoing(message);
  for (const auto& [node, identity] : other.pull_identities()) set_pull_identity(node, identity);
  auto& records = other.database_.prepare("SELECT collection, key, data FROM gorgone_kept");
  while (records.step()) {
    if (records.is_null(2))
      drop_kept(records.text(0), records.text(1));
    else
      keep(records.text(0), records.text(1), records.text(2));
  }
}

}  // namespace gorgone
