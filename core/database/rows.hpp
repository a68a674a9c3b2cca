#pragma once
// Parameters and results of a prepared statement, all as text. Blocking; on the thread of the Database.

#include <gorgone/database.hpp>

#include <mysql.h>

#include <vector>

namespace gorgone::database {

/// Binds `parameters`, which hold still until the statement has been executed.
class Parameters {
 public:
  explicit Parameters(const DatabaseTable::Row& parameters);
  std::size_t size() const { return binds_.size(); }
  MYSQL_BIND* binds() { return binds_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<unsigned long> lengths_;
  std::vector<MYSQL_BIND> binds_;
};

/// Reads what an executed statement gives; false where the connection or the server fails, which the statement then knows. An Error is a
/// result that is too large.
Result<bool> read_rows(MYSQL_STMT* statement, DatabaseTable& into);

}  // namespace gorgone::database
