// gorgone_database against a real MariaDB.

#include <gorgone/database.hpp>

#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "database/server.hpp"
#include "support/loop_agent.hpp"

using namespace gorgone;
using namespace std::chrono_literals;
using test::LoopAgent;
using test::Server;
using Row = DatabaseTable::Row;

namespace {

using Clock = std::chrono::steady_clock;

DatabaseAccess access_to(const Server& server) {
  DatabaseAccess access;
  access.socket = server.about("socket");
  access.name = "d";
  access.user = server.about("user");
  access.password = server.about("password");
  return access;
}

struct FailureCounter : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  bool assertionEnded(const Catch::AssertionStats& stats) override {
    if (!stats.assertionResult.isOk()) ++test::failures;
    return false;
  }
};
CATCH_REGISTER_LISTENER(FailureCounter)

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "gorgone-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

// A server with a database "d", and a client of it.
struct Fixture {
  explicit Fixture(const std::string& options = {}, Database::Limits limits = {5s, 30s}) : server(options) {
    server.tell("CREATE DATABASE d CHARACTER SET utf8mb3");
    database = std::make_unique<Database>(agent, access_to(server), limits);
  }
  DatabaseTable query(const std::string& statement, Row parameters = {}) {
    auto table = try_query(statement, std::move(parameters));
    if (!table) throw std::runtime_error(table.error().message);
    return *table;
  }
  Result<DatabaseTable> try_query(const std::string& statement, Row parameters = {}) {
    return agent.wait_for(database->query(statement, std::move(parameters)));
  }
  std::uint64_t change(const std::string& statement, Row parameters = {}) {
    auto changed = agent.wait_for(database->change(statement, std::move(parameters)));
    if (!changed) throw std::runtime_error(changed.error().message);
    return *changed;
  }

  LoopAgent agent;
  Server server;
  std::unique_ptr<Database> database;
};

}  // namespace

TEST_CASE("what was written by parameters comes back as text, NULL as nothing") {
  Fixture f;
  f.change(
      "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(300), made DATETIME, part DOUBLE, large BIGINT UNSIGNED, b "
      "MEDIUMBLOB)");
  const std::string name = "it's \"a\" \\ ; -- \xC3\xA9 ?" + std::string(280, 'x');
  CHECK(f.change("INSERT INTO t (name, made, part, large, b) VALUES (?, ?, ?, ?, ?), (?, NULL, NULL, NULL, '')",
                 {name, "2026-11-22 01:02:03", "1.5", "18446744073709551615", std::string(70000, 'y'), std::nullopt}) == 2);
  const auto table = f.query("SELECT id, name, made, part, large, b FROM t ORDER BY id");
  CHECK(table.columns == std::vector<std::string>{"id", "name", "made", "part", "large", "b"});
  CHECK(table.column("part") == 3);
  CHECK_FALSE(table.column("uid").has_value());
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0] == Row{"1", name, "2026-11-22 01:02:03", "1.5", "18446744073709551615", std::string(70000, 'y')});
  CHECK(table.rows[1] == Row{"2", std::nullopt, std::nullopt, std::nullopt, std::nullopt, ""});
  CHECK(f.query("SELECT id FROM t WHERE name = ?", {name}).rows == std::vector<Row>{{"1"}});
  CHECK(f.change("UPDATE t SET part = ? WHERE id = ?", {"2", "1"}) == 1);
  CHECK(f.change("DELETE FROM t WHERE id > ?", {"7"}) == 0);
}

TEST_CASE("text outside the database's character set and bytes that are no UTF-8 do not break the caller") {
  Fixture f;
  f.change("CREATE TABLE t (name VARCHAR(40) CHARACTER SET latin1, b BLOB)");
  f.change("INSERT INTO t VALUES (?, UNHEX('66FCDF00'))", {std::string("S\xFC"
                                                                       "d")});
  CHECK(f.query("SELECT * FROM t").rows == std::vector<Row>{{"S\xC3\xBC"
                                                             "d",
                                                             std::string("f\xC3\xBC\xC3\x9F\0", 6)}});
  CHECK(f.query("SELECT ?", {"\xF0\x9F\x90\x8D"}).rows == std::vector<Row>{{"\xF0\x9F\x90\x8D"}});
}

TEST_CASE("a statement that is wrong says so, and the next one runs") {
  Fixture f;
  auto wrong = f.try_query("SELECT uid FROM nowhere");
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == "statement");
  CHECK_THAT(wrong.error().message, Catch::StartsWith("database d at ") && Catch::Contains("d.nowhere"));
  wrong = f.try_query("SELECT ?");
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == "statement");
  CHECK(f.query("SELECT 1").rows.size() == 1);
}

TEST_CASE("a result larger than 64 MB is refused, and the connection can be used on") {
  Fixture f;
  const auto large = f.try_query("SELECT REPEAT('x', 1000000) FROM seq_1_to_80");
  REQUIRE_FALSE(large.has_value());
  CHECK_THAT(large.error().message, Catch::Contains("larger than 64 MB"));
  CHECK(f.query("SELECT seq FROM seq_1_to_5000").rows.size() == 5000);
}

TEST_CASE("statements run one after the other, in their order, while the loop goes on") {
  Fixture f;
  f.change("CREATE TABLE t (n INT, at DATETIME(6))");
  int ticks = 0, ended = 0;
  for (int i = 0; i < 20; ++i)
    f.agent.spawn([](Database& database, int number, int& count) -> asio::awaitable<void> {
      const std::string statement = "INSERT INTO t SELECT ?, NOW(6) FROM (SELECT SLEEP(0.02)) s";
      Row parameters{std::to_string(number)};
      const auto changed = co_await database.change(statement, std::move(parameters));
      if (changed && *changed == 1) ++count;
    }(*f.database, i, ended));
  f.agent.spawn([](asio::io_context& loop, int& count) -> asio::awaitable<void> {
    asio::steady_timer timer(loop);
    for (; count < 20; ++count) {
      timer.expires_after(10ms);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }(f.agent.loop(), ticks));
  f.agent.run_for(300ms);
  CHECK(ticks >= 5);
  CHECK(ended < 20);
  f.agent.run();
  CHECK(ended == 20);
  const auto rows = f.query("SELECT n FROM t ORDER BY at").rows;
  REQUIRE(rows.size() == 20);
  for (std::size_t i = 0; i < rows.size(); ++i) CHECK(rows[i][0] == std::to_string(i));
}

TEST_CASE("a wrong password is told without the password") {
  Fixture f;
  auto access = access_to(f.server);
  access.password = "not-this-one";
  Database other(f.agent, access);
  const auto refused = f.agent.wait_for(other.query("SELECT 1"));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == "unreached");
  CHECK_THAT(refused.error().message, Catch::Contains("Access denied for user 'centreon'") && !Catch::Contains("not-this-one"));
}

TEST_CASE("a server that is not there is told at once, and used as soon as it is there") {
  Fixture f;
  f.server.tell("stop");
  const auto started = Clock::now();
  auto away = f.try_query("SELECT 1");
  REQUIRE_FALSE(away.has_value());
  CHECK(away.error().code == "unreached");
  CHECK_THAT(away.error().message, Catch::Contains("database d at") && Catch::Contains("mysqld.sock"));
  CHECK(Clock::now() - started < 2s);
  f.server.tell("start");
  CHECK(f.query("SELECT 1").rows.size() == 1);
}

TEST_CASE("a change that was never sent is told apart from one that may have been made") {
  Fixture f;
  f.change("CREATE TABLE t (n INT)");
  f.server.tell("stop");
  const auto changed = f.agent.wait_for(f.database->change("INSERT INTO t VALUES (1)"));
  REQUIRE_FALSE(changed.has_value());
  CHECK(changed.error().code == "unreached");
  f.server.tell("start");
  CHECK(f.query("SELECT * FROM t").rows.empty());
}

TEST_CASE("a connection that was lost unnoticed costs neither a query nor a change") {
  Fixture f;
  f.change("CREATE TABLE t (n INT)");
  for (const auto* how : {"stop", "kill"}) {
    f.server.tell(how);
    f.server.tell("start");
    CHECK(f.change("INSERT INTO t VALUES (1)") == 1);
    f.server.tell(how);
    f.server.tell("start");
    CHECK(f.query("SELECT 1").rows.size() == 1);
  }
}

TEST_CASE("a connection that the server closed because it was idle is made anew for a change") {
  Fixture f;
  f.change("CREATE TABLE t (n INT)");
  f.change("SET SESSION wait_timeout = 1");
  std::this_thread::sleep_for(1500ms);
  CHECK(f.change("INSERT INTO t VALUES (1)") == 1);
}

TEST_CASE("a query whose connection ends while it runs is run again, a change is not and is told as unknown") {
  Fixture f;
  f.change("CREATE TABLE t (n INT)");
  const auto cut = [&f] {
    json::value running;
    do {
      std::this_thread::sleep_for(20ms);
      running = f.server.tell("SELECT id FROM information_schema.processlist WHERE user = 'centreon' AND info LIKE '%SLEEP%'");
    } while (running.as_array().empty());
    f.server.tell("KILL CONNECTION " + text_of(&running.at(0).at(0)).value());
  };
  std::thread first(cut);
  const auto queried = f.try_query("SELECT 7 + SLEEP(1)");
  first.join();
  REQUIRE(queried.has_value());
  CHECK(queried->rows == std::vector<Row>{{"7"}});
  std::thread second(cut);
  const auto changed = f.agent.wait_for(f.database->change("INSERT INTO t SELECT SLEEP(1)"));
  second.join();
  REQUIRE_FALSE(changed.has_value());
  CHECK(changed.error().code == "away");
  CHECK_THAT(changed.error().message, Catch::Contains("whether it was done is not known"));
  CHECK(f.query("SELECT * FROM t").rows.empty());
}

TEST_CASE("a server that takes connections and never answers costs its limit and no more, and all who wait get the same answer") {
  Fixture f({}, {1s, 1s});
  CHECK(f.query("SELECT 1").rows.size() == 1);
  f.server.tell("freeze");
  const auto started = Clock::now();
  int away = 0;
  for (int i = 0; i < 10; ++i)
    f.agent.spawn([](Database& database, int& count) -> asio::awaitable<void> {
      const auto outcome = co_await database.query("SELECT 2");
      if (!outcome && outcome.error().code == "unreached") ++count;
    }(*f.database, away));
  f.agent.run();
  const auto took = Clock::now() - started;
  CHECK(away == 10);
  CHECK(took >= 1s);
  CHECK(took < 4s);
  f.server.tell("thaw");
  CHECK(f.query("SELECT 1").rows.size() == 1);
}

TEST_CASE("a coroutine that is cancelled while a server hangs ends at once, and so does the client") {
  Fixture f({}, {3s, 3s});
  CHECK(f.query("SELECT 1").rows.size() == 1);
  f.server.tell("freeze");
  bool answered = false;
  f.agent.spawn([](Database& database, bool& flag) -> asio::awaitable<void> {
    co_await database.query("SELECT 2");
    flag = true;
  }(*f.database, answered));
  f.agent.run_for(200ms);
  const auto started = Clock::now();
  f.agent.cancel_all();
  f.agent.run();
  CHECK_FALSE(answered);
  f.database.reset();
  CHECK(Clock::now() - started < 500ms * test::slowness());
  f.server.tell("thaw");
}

TEST_CASE("the end of the client waits for a change that is under way") {
  Fixture f;
  f.change("CREATE TABLE t (n INT)");
  f.agent.spawn(
      [](Database& database) -> asio::awaitable<void> { co_await database.change("INSERT INTO t SELECT SLEEP(0.4)"); }(*f.database));
  f.agent.run_for(100ms);
  f.agent.cancel_all();
  f.agent.run();
  f.database.reset();
  const auto rows = f.server.tell("SELECT COUNT(*) FROM d.t");
  CHECK(to_text(rows) == "[[\"1\"]]");
}

TEST_CASE("TLS is used where it is asked for, and a certificate of another CA is refused") {
  Fixture f("--tls --port");
  auto access = access_to(f.server);
  access.host = "127.0.0.1";
  access.port = static_cast<std::uint16_t>(std::stoi(f.server.about("port")));
  const auto cipher = [&f](const DatabaseAccess& with) -> Result<std::string> {
    Database database(f.agent, with);
    auto table = f.agent.wait_for(database.query("SHOW STATUS LIKE 'Ssl_cipher'"));
    if (!table) return table.error();
    return table->rows.at(0).at(1).value_or("");
  };
  CHECK(*cipher(access) == "");
  access.tls = true;
  access.tls_verify = false;
  CHECK(*cipher(access) != "");
  access.tls_verify = true;
  access.tls_ca = f.server.certificate("ca");
  CHECK(*cipher(access) != "");
  access.tls_ca = f.server.certificate("other_ca");
  access.tls_verify = false;
  CHECK(*cipher(access) != "");
  access.tls_verify = true;
  const auto refused = cipher(access);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == "unreached");
  CHECK_THAT(refused.error().message, Catch::Contains("certificate"));

  // A folder of CAs: the one that is in it is believed, and no other.
  access.tls_ca.clear();
  const Folder folder;
  access.tls_ca_path = folder.path;
  const auto put = [&folder, &f](const char* key) {
    std::filesystem::copy_file(f.server.certificate(key), folder.path / (key + std::string(".pem")));
    REQUIRE(std::system(("openssl rehash '" + folder.path.string() + "'").c_str()) == 0);
  };
  put("other_ca");
  const auto unknown = cipher(access);
  REQUIRE_FALSE(unknown.has_value());
  CHECK_THAT(unknown.error().message, Catch::Contains("certificate"));
  put("ca");
  const auto known = cipher(access);
  REQUIRE(known.has_value());
  CHECK(*known != "");
  access.tls_cipher = "NO-SUCH-CIPHER";
  CHECK_FALSE(cipher(access).has_value());
}
