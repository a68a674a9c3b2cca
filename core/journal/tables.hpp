#pragma once
// The journal's tables in one database, a file or in memory: all the SQL there is. On the journal's thread; failures are
// sqlite::Failure.

#include <chrono>
#include <gorgone/journal.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/journal/salvage.hpp"
#include "core/journal/sqlite.hpp"
#include "core/trust.hpp"

namespace gorgone {

/// A session of the listener as it survives a restart (gorgone_identity); keys in hex.
struct StoredSession {
  std::string identity, key, iv, oldkey, oldiv;
  std::int64_t ctime = 0, mtime = 0;
};

/// How far a message with a delivery id has come (gorgone_delivery).
enum class Progress { taken = 0, begun = 1, ended = 2, gone = 3 };  // gone: taken out of an outbox in the file, which could not be written

class Tables {
 public:
  enum class Access { write, write_through, read };
  /// Opens or makes the database and completes its schema, for write_through so that each commit is forced to the disk; for reading,
  /// opens what is there as it is.
  explicit Tables(const std::string& path, Access access = Access::write);
  /// How long a lock of another program is waited for.
  void set_patience(std::chrono::milliseconds patience);

  void begin() { database_.execute("BEGIN IMMEDIATE"); }
  void commit() { database_.execute("COMMIT"); }
  void rollback();

  /// Stores a row as it is; id 0 lets the database choose one. The id.
  std::int64_t insert(const HistoryRow& row);
  Rows select(const HistoryFilter& filter);
  /// Whether the row of this origin is here. False where that is empty.
  bool has(const std::string& origin, const std::string& token, int code);
  std::int64_t newest_id();
  double newest_ctime();
  struct Size {
    std::int64_t rows = 0, bytes = 0;
  };
  /// What a row counts for.
  static std::int64_t bytes_of(const HistoryRow& row);
  /// Reads all of it.
  Size history_size();
  /// Deletes the oldest rows until so many rows and bytes, or more, are gone; what was deleted.
  Size drop_oldest(Size least);
  /// Rows with ids up to this one; how many they were.
  std::int64_t drop_until(std::int64_t id);

  /// A value of gorgone_information.
  std::optional<std::string> information(const std::string& key);
  /// An empty value takes it away.
  void set_information(const std::string& key, const std::string& value);
  std::vector<StoredSession> sessions();
  void save_session(const StoredSession& session);
  void drop_session(const std::string& identity);

  std::optional<std::string> fingerprint_of(const std::string& target);
  void pin_fingerprint(const std::string& target, const std::string& thumbprint);
  void add_refused_key(const RefusedKey& key);
  void forget_refused_key(const std::string& target);
  /// Without what is pinned.
  std::vector<RefusedKey> refused_keys();
  std::optional<double> fetched_until(const std::string& node);
  void set_fetched_until(const std::string& node, double ctime);

  void add_outgoing(const StoredMessage& message);
  void drop_outgoing(const std::string& delivery);
  std::vector<StoredMessage> outgoing();
  /// What a message that waits counts for, and what the one of an id does, in the outbox or not yet begun; 0 where there is none.
  static std::int64_t bytes_of(const StoredMessage& message);
  std::int64_t message_bytes(const std::string& delivery);
  Size messages_size();
  void add_incoming(const StoredMessage& message, Progress progress);
  /// What has begun keeps no data.
  void set_progress(const std::string& delivery, Progress progress);
  std::optional<Progress> progress(const std::string& delivery);
  std::vector<StoredMessage> incoming(Progress progress);
  /// Identities in hex, as in the sessions; an empty one says that the node is forgotten.
  void set_pull_identity(const std::string& node, const std::string& identity);
  std::map<std::string, std::string> pull_identities();
  /// What modules keep; nothing in place of data says, in memory, that the record is dropped.
  struct Records {
    std::map<std::string, std::optional<std::string>> records;
    bool is_all = true;  ///< nothing is left in the range
  };
  void keep(const std::string& collection, const std::string& key, const std::optional<std::string>& data);
  void drop_kept(const std::string& collection, const std::string& key);
  Records kept(const std::string& collection, const KeptRange& range);
  Journal::Purged purge(const Journal::Purge& what);

  /// Adds the oldest rows of `other`, about a megabyte of them, which are newer than all here; keeps their ids where these are free. The id
  /// that the last of them had, nothing where there was none.
  std::optional<std::int64_t> take_rows(Tables& other);
  /// Adds everything of `other` but its rows.
  void take_over(Tables& other);
  std::vector<Salvaged> salvage_from(const std::string& path) { return salvage(path, database_); }

 private:
  std::vector<StoredMessage> messages(sqlite::Statement& statement);

  sqlite::Database database_;
  bool has_origins_ = true;  // false for a file of before that is opened as it is
};

}  // namespace gorgone
