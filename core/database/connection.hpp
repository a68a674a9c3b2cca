#pragma once
// One connection to MariaDB, made again where it was lost. Blocking; lives on the thread of its Database.

#include <gorgone/database.hpp>

#include <mysql.h>

#include <atomic>
#include <memory>

namespace gorgone::database {

struct Statement {
  std::string text;
  DatabaseTable::Row parameters;
  bool is_change = false;
};

struct Outcome {
  DatabaseTable table;
  std::uint64_t changed = 0;
};

class Connection {
 public:
  /// `is_ended`: nothing is tried again any more.
  Connection(DatabaseAccess access, Database::Limits limits, const std::atomic<bool>& is_ended);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// See Database::query and Database::change.
  Result<Outcome> run(const Statement& statement);
  void close() { mysql_.reset(); }
  /// True where the last run() found nobody to connect to.
  bool is_away() const { return !mysql_ && is_away_; }

 private:
  enum class Stage { unsent, sent };  // whether the server may have begun it
  Result<void> connect();
  Result<Outcome> attempt(const Statement& statement, Stage& stage);
  Error failure(MYSQL_STMT* prepared) const;
  std::string where() const;

  struct Close {
    void operator()(MYSQL* mysql) const { mysql_close(mysql); }
  };
  DatabaseAccess access_;
  Database::Limits limits_;
  const std::atomic<bool>& is_ended_;
  std::unique_ptr<MYSQL, Close> mysql_;
  bool is_away_ = false;
};

}  // namespace gorgone::database
