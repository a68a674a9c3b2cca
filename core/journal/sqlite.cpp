#include "core/journal/sqlite.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <gorgone/files.hpp>

#include <utility>

namespace gorgone::sqlite {
namespace {

void check(int code, sqlite3* database) {
  if (code != SQLITE_OK) throw Failure(database ? sqlite3_errmsg(database) : sqlite3_errstr(code), code);
}

}  // namespace

Statement::Statement(sqlite3* database, std::string_view sql) : database_(database) {
  check(sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement_, nullptr), database);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int index, std::int64_t value) {
  check(sqlite3_bind_int64(statement_, index, value), database_);
  return *this;
}

Statement& Statement::bind(int index, double value) {
  check(sqlite3_bind_double(statement_, index, value), database_);
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  check(sqlite3_bind_text64(statement_, index, value.data() ? value.data() : "", value.size(), SQLITE_TRANSIENT, SQLITE_UTF8), database_);
  return *this;
}

Statement& Statement::bind(int index, const Statement& row, int column) {
  check(sqlite3_bind_value(statement_, index, sqlite3_column_value(row.statement_, column)), database_);
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    Failure failure(sqlite3_errmsg(database_), code);
    sqlite3_reset(statement_);
    throw failure;
  }
  sqlite3_reset(statement_);
  return false;
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::number(int column) const { return sqlite3_column_double(statement_, column); }
bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

std::string Statement::text(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return data ? std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}

Database::Database(const std::string& path, bool read_only) {
  // Sessions' keys are in it: a new one is for its owner and group alone, whatever the umask says. SQLite gives -wal and -shm the same
  // mode.
  if (!read_only && !path.empty() && path.front() != ':')
    FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  const int access = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &handle_, access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, nullptr);
  if (code != SQLITE_OK) {
    Failure failure(handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code), code);
    close();
    throw failure;
  }
  sqlite3_extended_result_codes(handle_, 1);
}

Database::Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), statements_(std::move(other.statements_)) {}

Database& Database::operator=(Database&& other) noexcept {
  close();
  handle_ = std::exchange(other.handle_, nullptr);
  statements_ = std::move(other.statements_);
  return *this;
}

Database::~Database() { close(); }

void Database::close() {
  statements_.clear();
  sqlite3_close(handle_);
  handle_ = nullptr;
}

void Database::execute(const std::string& sql) { check(sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr), handle_); }

Statement& Database::prepare(const std::string& sql) {
  auto& statement = statements_[sql];
  if (!statement)
    statement = std::make_unique<Statement>(handle_, sql);
  else
    statement->reset();
  return *statement;
}

std::int64_t Database::changes() const { return sqlite3_changes64(handle_); }
std::int64_t Database::last_row_id() const { return sqlite3_last_insert_rowid(handle_); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

}  // namespace gorgone::sqlite
