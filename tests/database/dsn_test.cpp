// What a DSN of Perl's DBI says, and what is told of one that says something else.

#include <gorgone/database.hpp>

#include <catch2/catch.hpp>

using namespace gorgone;

namespace {

DatabaseAccess read(std::string_view dsn) {
  auto access = read_dsn(dsn);
  if (!access) FAIL(access.error().message);
  return *access;
}

std::string refused(std::string_view dsn) {
  const auto access = read_dsn(dsn);
  REQUIRE_FALSE(access.has_value());
  return access.error().message;
}

ConfigValue centreon(const char* text) {
  auto parsed = parse_json(text);
  REQUIRE(parsed.has_value());
  return ConfigValue::from_json(*parsed, "30-centreon.yaml");
}

}  // namespace

TEST_CASE("a DSN as Centreon's installation writes it is read") {
  const auto access = read("mysql:host=db.example;port=3307;dbname=centreon");
  CHECK(access.host == "db.example");
  CHECK(access.port == 3307);
  CHECK(access.name == "centreon");
  CHECK_FALSE(access.tls);
}

TEST_CASE("a DSN of a few words has the client's defaults, and spaces and case of the driver do not matter") {
  const auto access = read("DBI:MariaDB: dbname = centreon ; ");
  CHECK(access.host == "localhost");
  CHECK(access.port == 3306);
  CHECK(access.name == "centreon");
}

TEST_CASE("a socket, an IPv6 address and options of Perl's client are taken") {
  CHECK(read("mysql:dbname=c;mysql_socket=/run/db.sock").socket == "/run/db.sock");
  CHECK(read("mysql:dbname=c;host=[2001:db8::1]").host == "2001:db8::1");
  CHECK(read("mysql:dbname=c;mysql_enable_utf8=1;mysql_auto_reconnect=0").name == "c");
}

TEST_CASE("a certificate is checked where a CA is named, unless the DSN says otherwise") {
  CHECK(read("mysql:dbname=c;mysql_ssl=1").tls);
  CHECK_FALSE(read("mysql:dbname=c;mysql_ssl=1").tls_verify);
  const auto access = read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_ca_file=/ca.pem;mysql_ssl_client_cert=/c.pem;mysql_ssl_client_key=/k.pem");
  CHECK(access.tls_verify);
  CHECK(access.tls_ca == "/ca.pem");
  CHECK(access.tls_cert == "/c.pem");
  CHECK(access.tls_key == "/k.pem");
  CHECK(read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_verify_server_cert=1").tls_verify);
  CHECK_FALSE(read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_verify_server_cert=0;mysql_ssl_ca_file=/ca.pem").tls_verify);
}

TEST_CASE("a folder of CAs has the certificate checked as a file does, and a cipher is passed on") {
  const auto access = read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_ca_path=/etc/ssl/certs;mysql_ssl_cipher=ECDHE-RSA-AES256-GCM-SHA384");
  CHECK(access.tls_verify);
  CHECK(access.tls_ca_path == "/etc/ssl/certs");
  CHECK(access.tls_cipher == "ECDHE-RSA-AES256-GCM-SHA384");
  CHECK(access.not_followed.empty());
  CHECK_FALSE(read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_ca_path=/c;mysql_ssl_verify_server_cert=0").tls_verify);
}

TEST_CASE("the names that Centreon's documentation has for CA, certificate and key are taken") {
  const auto access = read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_ca=/ca.pem;mysql_ssl_cert=/c.pem;mysql_ssl_key=/k.pem");
  CHECK(access.tls_verify);
  CHECK(access.tls_ca == "/ca.pem");
  CHECK(access.tls_cert == "/c.pem");
  CHECK(access.tls_key == "/k.pem");
  CHECK(access.not_followed.empty());
}

TEST_CASE("an option of TLS that nobody knows is told with those that there are") {
  const auto access = read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_cafile=/ca.pem");
  REQUIRE(access.not_followed.size() == 1);
  CHECK_THAT(access.not_followed.front(),
             Catch::StartsWith("mysql_ssl_cafile: no such option is known, expected mysql_ssl, mysql_ssl_ca_file"));
}

TEST_CASE("TLS that a DSN calls optional stays required, and that is told") {
  const auto access = read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_optional=1");
  CHECK(access.tls);
  REQUIRE(access.not_followed.size() == 1);
  CHECK_THAT(access.not_followed.front(), Catch::Contains("mysql_ssl_optional"));
  CHECK(read("mysql:dbname=c;mysql_ssl=1;mysql_ssl_optional=0").not_followed.empty());
}

TEST_CASE("a wrong DSN is told by the part that is wrong and what was expected") {
  CHECK_THAT(refused("pgsql:host=a;dbname=c"), Catch::Contains("does not begin with \"mysql:\""));
  CHECK_THAT(refused(""), Catch::Contains("does not begin with \"mysql:\""));
  CHECK_THAT(refused("mysql:host=a;port=3306"), Catch::Contains("names no database"));
  CHECK(refused("mysql:dbname=c;port=70000") == "port is \"70000\", expected 1 to 65535");
  CHECK(refused("mysql:dbname=c;port=0") == "port is \"0\", expected 1 to 65535");
  CHECK(refused("mysql:dbname=c;port=33o6") == "port is \"33o6\", expected 1 to 65535");
  CHECK_THAT(refused("mysql:dbname=c;hots=a"), Catch::StartsWith("unknown part \"hots\""));
  CHECK(refused("mysql:dbname=c;mysql_ssl=maybe") == "mysql_ssl is \"maybe\", expected 0 or 1");
  CHECK_THAT(refused("mysql:centreon"), Catch::Contains("has no \"=\""));
}

TEST_CASE("the configuration's entry gives host, name, user and password") {
  const auto access =
      database_access(centreon(R"({"database":{"db_configuration":{"dsn":"mysql:host=h;dbname=c","username":"u","password":"p"},
                               "db_realtime":{"dsn":"mysql:host=h;dbname=storage","username":"u"}}})"));
  REQUIRE(access.has_value());
  CHECK(access->user == "u");
  CHECK(access->password == "p");
  const auto realtime = database_access(
      centreon(R"({"database":{"db_realtime":{"dsn":"mysql:host=h;dbname=storage","username":"u","password":null}}})"), "db_realtime");
  REQUIRE(realtime.has_value());
  CHECK(realtime->name == "storage");
  CHECK(realtime->password.empty());
}

TEST_CASE("an entry that is missing or wrong is told by its key and file") {
  auto message = [](const char* text) {
    const auto access = database_access(centreon(text));
    REQUIRE_FALSE(access.has_value());
    return access.error().message;
  };
  CHECK_THAT(message("{}"), Catch::Contains("centreon.database.db_configuration is missing"));
  CHECK_THAT(message(R"({"database":{"db_configuration":{"username":"u"}}})"),
             Catch::Contains("db_configuration.dsn is missing") && Catch::Contains("30-centreon.yaml"));
  CHECK_THAT(message(R"({"database":{"db_configuration":{"dsn":"mysql:host=a;port=x;dbname=c"}}})"),
             Catch::Contains("db_configuration.dsn (30-centreon.yaml)") && Catch::Contains("port is \"x\""));
  const auto vault = message(R"({"database":{"db_configuration":{"dsn":"mysql:dbname=c","password":"secret::hashicorp_vault::a::b"}}})");
  CHECK_THAT(vault, Catch::Contains("db_configuration.password") && Catch::Contains("vault") && !Catch::Contains("hashicorp"));
}
