#pragma once
// SQLite in C++: a database and its prepared statements, used from one thread at a time. Failures are sqlite::Failure.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace gorgone::sqlite {

class Failure : public std::runtime_error {
 public:
  Failure(const std::string& what, int code) : std::runtime_error(what), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

/// A prepared statement; reset when it is made ready again by Database::prepare.
class Statement {
 public:
  Statement(sqlite3* database, std::string_view sql);
  Statement(const Statement&) = delete;
  ~Statement();

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, double value);
  Statement& bind(int index, std::string_view value);  ///< copied by SQLite
  /// A column of another statement's row, of whatever type.
  Statement& bind(int index, const Statement& row, int column);
  /// True where there is a row.
  bool step();
  void reset();

  std::int64_t integer(int column) const;
  double number(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  Database() = default;
  explicit Database(const std::string& path, bool read_only = false);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  void execute(const std::string& sql);
  /// A statement from the cache, ready to be bound; valid until the next call with the same text.
  Statement& prepare(const std::string& sql);
  std::int64_t changes() const;
  std::int64_t last_row_id() const;
  bool in_transaction() const;

 private:
  void close();
  sqlite3* handle_ = nullptr;
  std::map<std::string, std::unique_ptr<Statement>> statements_;
};

}  // namespace gorgone::sqlite
