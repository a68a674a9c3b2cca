#include "core/database/connection.hpp"

#include <gorgone/log.hpp>

#include <errmsg.h>

#include "core/database/rows.hpp"

namespace gorgone::database {
namespace {

// The server's own words for "the connection ends now", which come in place of an answer.
constexpr unsigned server_shutdown = 1053, connection_killed = 1927, closed_by_timeout = 4031;

bool is_lost(unsigned number) {
  return (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR && number != CR_INVALID_PARAMETER_NO && number != CR_UNSUPPORTED_PARAM_TYPE) ||
         number == server_shutdown || number == connection_killed || number == closed_by_timeout;
}

}  // namespace

Connection::Connection(DatabaseAccess access, Database::Limits limits, const std::atomic<bool>& is_ended)
    : access_(std::move(access)), limits_(limits), is_ended_(is_ended) {}

Connection::~Connection() = default;

std::string Connection::where() const {
  const bool by_socket = access_.host == "localhost";
  const auto server =
      by_socket ? (access_.socket.empty() ? "localhost" : access_.socket) : fmt::format("{}:{}", access_.host, access_.port);
  return fmt::format("database {} at {}", access_.name, server);
}

Error Connection::failure(MYSQL_STMT* prepared) const {
  const unsigned number = prepared ? mysql_stmt_errno(prepared) : mysql_errno(mysql_.get());
  const char* text = prepared ? mysql_stmt_error(prepared) : mysql_error(mysql_.get());
  return Error{fmt::format("{}: {} ({})", where(), printable(text, 400), number), is_lost(number) ? "away" : "statement"};
}

Result<void> Connection::connect() {
  mysql_.reset(mysql_init(nullptr));
  if (!mysql_) return Error{where() + ": no memory for a connection", "unreached"};
  auto* mysql = mysql_.get();
  const auto connect_s = static_cast<unsigned>(limits_.connect.count()), statement_s = static_cast<unsigned>(limits_.statement.count());
  const unsigned off = 0;
  mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
  mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &statement_s);
  mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &statement_s);
  mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  // A server must not be able to ask for files.
  mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
  const auto file = [](const std::string& name) { return name.empty() ? nullptr : name.c_str(); };
  if (access_.tls) {
    const my_bool enforce = 1, verify = access_.tls_verify ? 1 : 0;
    // A CA that is given is checked against, whatever the option says.
    const auto* ca = access_.tls_verify ? file(access_.tls_ca) : nullptr;
    const auto* ca_path = access_.tls_verify ? file(access_.tls_ca_path) : nullptr;
    mysql_ssl_set(mysql, file(access_.tls_key), file(access_.tls_cert), ca, ca_path, file(access_.tls_cipher));
    mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &enforce);
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  }
  if (mysql_real_connect(mysql, access_.host.c_str(), access_.user.c_str(), access_.password.c_str(), access_.name.c_str(), access_.port,
                         file(access_.socket), 0)) {
    is_away_ = false;
    return {};
  }
  auto error = failure(nullptr);
  error.code = "unreached";
  mysql_.reset();
  is_away_ = true;
  return error;
}

Result<Outcome> Connection::attempt(const Statement& statement, Stage& stage) {
  const std::unique_ptr<MYSQL_STMT, my_bool (*)(MYSQL_STMT*)> prepared(mysql_stmt_init(mysql_.get()), mysql_stmt_close);
  if (!prepared) return failure(nullptr);
  if (mysql_stmt_prepare(prepared.get(), statement.text.data(), statement.text.size()) != 0) return failure(prepared.get());
  Parameters parameters(statement.parameters);
  if (const auto expected = mysql_stmt_param_count(prepared.get()); expected != parameters.size())
    return Error{fmt::format("{}: a statement with {} times \"?\" was given {} parameters", where(), expected, parameters.size()),
                 "statement"};
  if (parameters.size() > 0 && mysql_stmt_bind_param(prepared.get(), parameters.binds()) != 0) return failure(prepared.get());
  stage = Stage::sent;
  if (mysql_stmt_execute(prepared.get()) != 0) return failure(prepared.get());
  Outcome outcome;
  const auto read = read_rows(prepared.get(), outcome.table);
  if (!read) return Error{where() + ": " + read.error().message, read.error().code};
  if (!*read) return failure(prepared.get());
  if (statement.is_change) outcome.changed = mysql_stmt_affected_rows(prepared.get());
  return outcome;
}

Result<Outcome> Connection::run(const Statement& statement) {
  for (int left = 1;; --left) {
    if (!mysql_)
      if (auto connected = connect(); !connected) return connected.error();
    auto stage = Stage::unsent;
    auto outcome = attempt(statement, stage);
    if (outcome || outcome.error().code != "away") return outcome;
    mysql_.reset();
    // A connection that has gone stale is noticed when the statement is prepared: then nothing has happened yet.
    const bool may_repeat = stage == Stage::unsent || !statement.is_change;
    if (left == 0 || !may_repeat || is_ended_) {
      if (!may_repeat) return Error{outcome.error().message + "; whether it was done is not known", "away"};
      if (stage == Stage::unsent) return Error{outcome.error().message, "unreached"};
      return outcome;
    }
  }
}

}  // namespace gorgone::database
