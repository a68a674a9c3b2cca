#pragma once
// Centreon's MariaDB (`configuration.centreon.database`), for modules of the central. It is a library of its own, gorgone_database, so
// that nodes without such a module do not carry the client: `gorgone_module(name LIBRARIES gorgone_database)`.

#include <gorgone/agent.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone {

/// How a database is reached: a DSN of Perl's DBI and who connects.
struct DatabaseAccess {
  std::string host = "localhost";  ///< "localhost": by the socket
  std::uint16_t port = 3306;
  std::string socket;  ///< mysql_socket; empty: the client library's own
  std::string name;
  std::string user, password;
  bool tls = false;                       ///< mysql_ssl=1
  bool tls_verify = true;                 ///< mysql_ssl_verify_server_cert; in a DSN without it: where a CA is named
  std::string tls_ca, tls_ca_path;        ///< mysql_ssl_ca_file or mysql_ssl_ca, mysql_ssl_ca_path
  std::string tls_cert, tls_key;          ///< mysql_ssl_client_cert or mysql_ssl_cert, mysql_ssl_client_key or mysql_ssl_key
  std::string tls_cipher;                 ///< mysql_ssl_cipher
  std::vector<std::string> not_followed;  ///< what the DSN asks for and is not done; Database logs it

  friend bool operator==(const DatabaseAccess&, const DatabaseAccess&) = default;
};

/// Reads "mysql:host=…;port=…;dbname=…[;mysql_ssl=1;…]". An Error names the part that is wrong and what was expected.
GORGONE_API Result<DatabaseAccess> read_dsn(std::string_view dsn);
/// `db_configuration` or `db_realtime` of Agent::centreon_config(); an Error names the key that is missing or wrong.
GORGONE_API Result<DatabaseAccess> database_access(const ConfigValue& centreon, std::string_view which = "db_configuration");

/// What a query gave. A cell is empty where the database says NULL.
struct DatabaseTable {
  using Row = std::vector<std::optional<std::string>>;
  std::vector<std::string> columns;
  std::vector<Row> rows;

  /// Where a column stands; nothing where the query did not give it (columns that only newer databases have).
  GORGONE_API std::optional<std::size_t> column(std::string_view name) const;
};

/// One connection, made when it is first needed and again after it was lost. Statements run one after the other on a thread of its own;
/// everything is called on the loop and comes back to the loop. Text goes and comes as UTF-8: bytes that are none are read as Latin-1.
/// A coroutine that is cancelled while it waits leaves by operation_aborted; a statement of it that has not begun is not run.
class GORGONE_API Database {
 public:
  struct Limits {
    std::chrono::seconds connect{5};
    std::chrono::seconds statement{30};
  };

  Database(Agent& agent, DatabaseAccess access);
  Database(Agent& agent, DatabaseAccess access, Limits limits);
  /// Runs no further statement. Waits for a change that is under way, at most for a second; what takes longer is left to the thread, which
  /// ends at the limit of a statement. Completions do not come any more.
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs one statement. `parameters` take the place of the `?` in it, as text (nothing: NULL). The code of an Error is
  /// "unreached" where the database cannot be reached: the statement was not run; "away" where it went away before it answered: the
  /// statement may have been run (a query is run a second time before that is said, a change never is, once the server may have seen
  /// it); "busy" where 10,000 statements wait; else "statement".
  asio::awaitable<Result<DatabaseTable>> query(std::string statement, DatabaseTable::Row parameters = {});
  /// The number of rows that were changed.
  asio::awaitable<Result<std::uint64_t>> change(std::string statement, DatabaseTable::Row parameters = {});

 private:
  struct Worker;
  std::shared_ptr<Worker> worker_;
};

}  // namespace gorgone
