#include <gorgone/database.hpp>
#include <gorgone/log.hpp>

#include <boost/algorithm/string/predicate.hpp>
#include <boost/algorithm/string/trim.hpp>

#include <charconv>

namespace gorgone {
namespace {

constexpr std::string_view expected = "expected \"mysql:host=NAME;port=PORT;dbname=NAME[;mysql_ssl=1;…]\"";

constexpr std::string_view tls_options =
    "mysql_ssl, mysql_ssl_ca_file (or mysql_ssl_ca), mysql_ssl_ca_path, mysql_ssl_client_cert (or mysql_ssl_cert), "
    "mysql_ssl_client_key (or mysql_ssl_key), mysql_ssl_cipher or mysql_ssl_verify_server_cert";

bool is_true(std::string_view value) { return boost::algorithm::iequals(value, "true") || value == "1"; }

struct Reader {
  DatabaseAccess access;
  bool verify_said = false;

  Result<void> part(std::string_view key, std::string value) {
    if (key == "host" || key == "hostname") {
      // An IPv6 address may stand in brackets.
      if (value.size() > 2 && value.front() == '[' && value.back() == ']') value = value.substr(1, value.size() - 2);
      access.host = std::move(value);
    } else if (key == "port") {
      return port(value);
    } else if (key == "dbname" || key == "database" || key == "db") {
      access.name = std::move(value);
    } else if (key == "mysql_socket") {
      access.socket = std::move(value);
    } else if (key == "mysql_ssl") {
      return flag(key, value, access.tls);
    } else if (key == "mysql_ssl_verify_server_cert") {
      verify_said = true;
      return flag(key, value, access.tls_verify);
    } else if (key == "mysql_ssl_ca_file" || key == "mysql_ssl_ca") {
      access.tls_ca = std::move(value);
    } else if (key == "mysql_ssl_ca_path") {
      access.tls_ca_path = std::move(value);
    } else if (key == "mysql_ssl_cipher") {
      access.tls_cipher = std::move(value);
    } else if (key == "mysql_ssl_optional") {
      bool is_optional = false;
      if (auto read = flag(key, value, is_optional); !read) return read;
      if (is_optional)
        access.not_followed.push_back("mysql_ssl_optional=1: where mysql_ssl=1 asks for TLS, no connection is made without it");
    } else if (key == "mysql_ssl_client_cert" || key == "mysql_ssl_cert") {
      access.tls_cert = std::move(value);
    } else if (key == "mysql_ssl_client_key" || key == "mysql_ssl_key") {
      access.tls_key = std::move(value);
    } else if (key.starts_with("mysql_ssl")) {
      access.not_followed.push_back(fmt::format("{}: no such option is known, expected {}", printable(key), tls_options));
    } else if (!key.starts_with("mysql_")) {  // those are options of Perl's client, without effect here
      return Error{fmt::format("unknown part \"{}\", expected host, port, dbname, mysql_socket or mysql_ssl…", printable(key))};
    }
    return {};
  }

 private:
  Result<void> port(const std::string& value) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), access.port);
    if (error != std::errc() || end != value.data() + value.size() || access.port == 0)
      return Error{fmt::format("port is \"{}\", expected 1 to 65535", printable(value))};
    return {};
  }

  static Result<void> flag(std::string_view key, const std::string& value, bool& into) {
    into = is_true(value);
    if (into || value == "0" || value.empty() || boost::algorithm::iequals(value, "false")) return {};
    return Error{fmt::format("{} is \"{}\", expected 0 or 1", key, printable(value))};
  }
};

// "centreon.database.db_configuration.dsn (30-centreon.yaml:7)"
std::string place(std::string_view which, std::string_view key, const ConfigValue& value) {
  return fmt::format("centreon.database.{}.{} ({})", which, key, value.where.text());
}

}  // namespace

Result<DatabaseAccess> read_dsn(std::string_view dsn) {
  if (boost::algorithm::istarts_with(dsn, "dbi:")) dsn.remove_prefix(4);
  const auto colon = dsn.find(':');
  const auto driver = dsn.substr(0, colon);
  if (colon == std::string_view::npos || !(boost::algorithm::iequals(driver, "mysql") || boost::algorithm::iequals(driver, "mariadb")))
    return Error{fmt::format("does not begin with \"mysql:\", {}", expected)};
  dsn.remove_prefix(colon + 1);
  Reader reader;
  while (!dsn.empty()) {
    const auto end = std::min(dsn.find(';'), dsn.size());
    const auto part = boost::algorithm::trim_copy(std::string(dsn.substr(0, end)));
    dsn.remove_prefix(std::min(end + 1, dsn.size()));
    if (part.empty()) continue;
    const auto equals = part.find('=');
    if (equals == std::string::npos) return Error{fmt::format("\"{}\" has no \"=\", {}", printable(part), expected)};
    const auto key = boost::algorithm::trim_copy(part.substr(0, equals));
    const auto read = reader.part(key, boost::algorithm::trim_copy(part.substr(equals + 1)));
    if (!read) return read.error();
  }
  if (reader.access.host.empty()) reader.access.host = "localhost";
  if (reader.access.name.empty()) return Error{fmt::format("names no database, {}", expected)};
  // As Perl's client has it: a certificate is checked where it is said so; and where it is said against what.
  if (!reader.verify_said) reader.access.tls_verify = !reader.access.tls_ca.empty() || !reader.access.tls_ca_path.empty();
  return reader.access;
}

Result<DatabaseAccess> database_access(const ConfigValue& centreon, std::string_view which) {
  const auto* database = centreon.find("database");
  const auto* entry = database ? database->find(which) : nullptr;
  if (!entry || entry->kind != ConfigValue::Kind::map)
    return Error{fmt::format("configuration.centreon.database.{} is missing, expected dsn, username and password", which)};
  const auto* dsn = entry->find("dsn");
  if (!dsn || dsn->kind != ConfigValue::Kind::scalar)
    return Error{fmt::format("configuration.centreon.database.{}.dsn is missing ({}), {}", which, entry->where.text(), expected)};
  auto access = read_dsn(dsn->scalar);
  if (!access) return Error{place(which, "dsn", *dsn) + ": " + access.error().message};
  for (auto [key, into] : {std::pair{"username", &access->user}, std::pair{"password", &access->password}}) {
    const auto* value = entry->find(key);
    if (!value || value->kind == ConfigValue::Kind::null) continue;
    if (value->kind != ConfigValue::Kind::scalar) return Error{place(which, key, *value) + ": expected a text"};
    if (value->scalar.starts_with("secret::"))
      return Error{place(which, key, *value) + ": is kept in a vault, which cannot be read yet; expected the value itself"};
    *into = value->scalar;
  }
  return access;
}

}  // namespace gorgone
