#pragma once
// A real server for a test: a program of tests/system starts it in a directory of its own, answers each line with a line of JSON, and ends
// it with us. The directory stays, and is named, where the program ended badly or the owner says keep().

#include <gorgone/json.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

namespace gorgone::test {

class ScriptedServer {
 public:
  /// "nats.py", and what it is given behind the name of its directory. Throws where it says nothing.
  ScriptedServer(std::string script, const std::string& arguments) : script_(std::move(script)) {
    auto pattern = (std::filesystem::temp_directory_path() / "gorgone-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no directory " + pattern);
    directory_ = pattern;
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) throw std::runtime_error("no pipe");
    const auto command = "exec /usr/bin/python3 " GORGONE_TESTS "/system/" + script_ + " " + directory_.string() + " " + arguments + " 2>" +
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
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer() {
    std::fclose(to_);
    std::fclose(from_);
    int status = 0;
    waitpid(pid_, &status, 0);
    if (status == 0 && !is_kept_)
      std::filesystem::remove_all(directory_);
    else
      std::cerr << "kept: " << directory_.string() << "\n";
  }

  json::value tell(const std::string& line) {
    std::fputs((line + "\n").c_str(), to_);
    std::fflush(to_);
    return answer();
  }
  /// What it said first.
  const json::value& about() const { return about_; }
  void keep() { is_kept_ = true; }

 private:
  json::value answer() {
    std::string line;
    for (int c = std::fgetc(from_); c != EOF && c != '\n'; c = std::fgetc(from_)) line += static_cast<char>(c);
    auto parsed = parse_json(line);
    if (!parsed) throw std::runtime_error(script_ + " failed, see " + directory_.string() + "/errors");
    return *parsed;
  }

  std::string script_;
  std::filesystem::path directory_;
  pid_t pid_ = 0;
  std::FILE *to_ = nullptr, *from_ = nullptr;
  json::value about_;
  bool is_kept_ = false;
};

}  // namespace gorgone::test
