#pragma once
// A real MariaDB for one test: tests/system/mariadb.py.

#include <catch2/catch.hpp>

#include <exception>
#include <string>

#include "tests/scripted_server.hpp"

namespace gorgone::test {

/// Assertions that failed in this program so far.
inline int failures = 0;

class Server {
 public:
  explicit Server(const std::string& options = {}) : server_("mariadb.py", options) {}
  ~Server() {
    if (failures != failures_before_ || std::uncaught_exceptions() > 0) server_.keep();
  }

  /// "start", "stop", "kill", "freeze", "thaw" or SQL, which root runs.
  json::value tell(const std::string& line) { return server_.tell(line); }
  std::string about(const char* key) const { return text_of(member(server_.about(), key)).value_or(""); }
  std::string certificate(const char* key) const { return text_of(member(*member(server_.about(), "certificates"), key)).value_or(""); }

 private:
  const int failures_before_ = failures;
  ScriptedServer server_;
};

}  // namespace gorgone::test
