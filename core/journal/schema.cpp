#include "core/journal/schema.hpp"

#include <initializer_list>
#include <set>
#include <string>
#include <utility>

namespace gorgone::sqlite {
namespace {

constexpr const char* tables = R"(
CREATE TABLE IF NOT EXISTS gorgone_information (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS gorgone_identity (
  id INTEGER PRIMARY KEY, ctime INTEGER, mtime INTEGER, identity TEXT, key TEXT, oldkey TEXT, iv TEXT, oldiv TEXT, parent INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS gorgone_history (
  id INTEGER PRIMARY KEY, token TEXT, code INTEGER, etime INTEGER, ctime FLOAT, instant INTEGER DEFAULT 0, data TEXT);
CREATE TABLE IF NOT EXISTS gorgone_synchistory (id INTEGER UNIQUE, ctime FLOAT, last_id INTEGER);
CREATE TABLE IF NOT EXISTS gorgone_target_fingerprint (id INTEGER PRIMARY KEY, target TEXT, fingerprint TEXT);
CREATE TABLE IF NOT EXISTS gorgone_centreon_judge_spare (cluster_name TEXT, status INTEGER, data TEXT);
CREATE TABLE IF NOT EXISTS gorgone_outbox (
  id INTEGER PRIMARY KEY, delivery TEXT UNIQUE, action TEXT, token TEXT, target TEXT, data TEXT, until INTEGER);
CREATE TABLE IF NOT EXISTS gorgone_refused_key (target TEXT PRIMARY KEY, node TEXT, thumbprint TEXT, seen INTEGER);
CREATE TABLE IF NOT EXISTS gorgone_delivery (
  id INTEGER PRIMARY KEY, delivery TEXT UNIQUE, progress INTEGER, action TEXT, token TEXT, data TEXT, until INTEGER);
CREATE TABLE IF NOT EXISTS gorgone_pull_identity (node TEXT PRIMARY KEY, identity TEXT);
CREATE TABLE IF NOT EXISTS gorgone_origin (id INTEGER PRIMARY KEY, origin TEXT);
CREATE TABLE IF NOT EXISTS gorgone_kept (collection TEXT, key TEXT, data BLOB, PRIMARY KEY (collection, key)) WITHOUT ROWID;
)";

// Columns in older files may be missing under an index, so the columns come first.
constexpr const char* indices = R"(
CREATE INDEX IF NOT EXISTS idx_gorgone_identity ON gorgone_identity (identity);
CREATE INDEX IF NOT EXISTS idx_gorgone_parent ON gorgone_identity (parent);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_token ON gorgone_history (token);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_code ON gorgone_history (code);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_etime ON gorgone_history (etime);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_ctime ON gorgone_history (ctime);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_instant ON gorgone_history (instant);
CREATE INDEX IF NOT EXISTS idx_gorgone_origin ON gorgone_origin (origin);
CREATE TRIGGER IF NOT EXISTS gorgone_origin_ends AFTER DELETE ON gorgone_history BEGIN DELETE FROM gorgone_origin WHERE id = OLD.id; END;
CREATE INDEX IF NOT EXISTS idx_gorgone_target_fingerprint_target ON gorgone_target_fingerprint (target);
INSERT INTO gorgone_information (key, value) SELECT 'version', '25.0' WHERE NOT EXISTS (SELECT 1 FROM gorgone_information WHERE key = 'version');
INSERT INTO gorgone_information (key, value) SELECT 'journal', lower(hex(randomblob(8))) WHERE NOT EXISTS (SELECT 1 FROM gorgone_information WHERE key = 'journal');
)";

void add_missing_columns(Database& database, const std::string& table, std::initializer_list<std::pair<const char*, const char*>> columns) {
  std::set<std::string> known;
  auto& list = database.prepare("SELECT name FROM pragma_table_info('" + table + "')");
  while (list.step()) known.insert(list.text(0));
  for (const auto& [name, type] : columns)
    if (!known.contains(name)) database.execute("ALTER TABLE " + table + " ADD COLUMN " + name + " " + type);
}

}  // namespace

void prepare_schema(Database& database) {
  database.execute("BEGIN IMMEDIATE");
  database.execute(tables);
  add_missing_columns(database, "gorgone_identity", {{"mtime", "INTEGER"}, {"oldkey", "TEXT"}, {"iv", "TEXT"}, {"oldiv", "TEXT"}});
  add_missing_columns(database, "gorgone_history", {{"instant", "INTEGER DEFAULT 0"}});
  add_missing_columns(database, "gorgone_synchistory", {{"last_id", "INTEGER"}});
  database.execute(indices);
  database.execute("COMMIT");
}

}  // namespace gorgone::sqlite
