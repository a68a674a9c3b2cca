#pragma once
// A real MariaDB for one test: tests/system/mariadb.py as a program, which starts it in a directory of its own and ends it with us.

#include <gorgone/json.hpp>

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

namespace gorgone::test {

/// Assertions that failed in this program so far.
inline int failures = 0;

class Server {
 public:
  explicit Server(const std::string& options = {}) {
    auto pattern = (std::filesystem::temp_directory_path() / "gorgone-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no directory " + pattern);
    directory_ = pattern;
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) throw std::runtime_error("no pipe");
    const auto command = "exec /usr/bin/python3 " GORGONE_TESTS "/system/mariadb.py " + directory_.string() + " " + options + " 2>" +
                         directory_.string() + "/errors";
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (const int fd : {to[0], to[1], from[0], from[1]}) close(fd);
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
    about_ = answer();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    std::fclose(to_);
    std::fclose(from_);
    int status = 0;
    waitpid(pid_, &status, 0);
    if (status == 0 && failures == failures_before_ && std::uncaught_exceptions() == 0)
      std::filesystem::remove_all(directory_);
    else
      std::cerr << "kept: " << directory_.string() << "\n";
  }

  /// "start", "stop", "kill", "freeze", "thaw" or SQL, which root runs.
  json::value tell(const std::string& line) {
    std::fputs((line + "\n").c_str(), to_);
    std::fflush(to_);
    return answer();
  }
  std::string about(const char* key) const { return text_of(member(about_, key)).value_or(""); }
  std::string certificate(const char* key) const { return text_of(member(*member(about_, "certificates"), key)).value_or(""); }

 private:
  json::value answer() {
    std::string line;
    for (int c = std::fgetc(from_); c != EOF && c != '\n'; c = std::fgetc(from_)) line += static_cast<char>(c);
    auto parsed = parse_json(line);
    if (!parsed) throw std::runtime_error("mariadb.py failed, see " + directory_.string() + "/errors");
    return *parsed;
  }

  const int failures_before_ = failures;
  std::filesystem::path directory_;
  pid_t pid_ = 0;
  std::FILE *to_ = nullptr, *from_ = nullptr;
  json::value about_;
};

}  // namespace gorgone::test
